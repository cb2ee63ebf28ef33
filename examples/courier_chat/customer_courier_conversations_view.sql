-- One row an order that has both a message and a city: the conversation of its customer and its courier.
-- Over the append-only base tables `conversations` (one row a chat message) and `orders` (one row an order event).
CREATE OR REPLACE VIEW `customer_courier_conversations_view` AS
WITH
  -- A message that was stored twice counts once.
  messages AS (
    SELECT
      message_id,
      orderId,
      orderStage,
      chatStartedByMessage,
      messageSentTime,
      CASE
        WHEN STARTS_WITH(senderAppType, 'Courier') THEN 'Courier'
        WHEN STARTS_WITH(senderAppType, 'Customer') THEN 'Customer'
        ELSE 'Unknown'
      END AS sender
    FROM `conversations`
    QUALIFY ROW_NUMBER() OVER (PARTITION BY message_id ORDER BY messageSentTime) = 1
  ),
  order_events AS (
    SELECT message_id, orderId, cityCode
    FROM `orders`
    QUALIFY ROW_NUMBER() OVER (PARTITION BY message_id ORDER BY orderId) = 1
  ),
  -- Two cities for an order: the smallest message_id wins.
  cities AS (
    SELECT
      orderId,
      ARRAY_AGG(cityCode ORDER BY message_id LIMIT 1)[OFFSET(0)] AS city_code
    FROM order_events
    GROUP BY orderId
  ),
  conversations_by_order AS (
    SELECT
      orderId,
      MIN(IF(sender = 'Courier', messageSentTime, NULL)) AS first_courier_message,
      MIN(IF(sender = 'Customer', messageSentTime, NULL)) AS first_customer_message,
      COUNTIF(sender = 'Courier') AS num_messages_courier,
      COUNTIF(sender = 'Customer') AS num_messages_customer,
      ARRAY_AGG(
        sender
        ORDER BY IF(chatStartedByMessage, 0, 1), messageSentTime, message_id
        LIMIT 1
      )[OFFSET(0)] AS first_message_by,
      MIN(messageSentTime) AS conversation_started_at,
      MAX(messageSentTime) AS last_message_time,
      ARRAY_AGG(
        orderStage
        ORDER BY messageSentTime DESC, message_id DESC
        LIMIT 1
      )[OFFSET(0)] AS last_message_order_stage
    FROM messages
    GROUP BY orderId
  )
SELECT
  conversation.orderId AS order_id,
  city.city_code,
  conversation.first_courier_message,
  conversation.first_customer_message,
  conversation.num_messages_courier,
  conversation.num_messages_customer,
  conversation.first_message_by,
  conversation.conversation_started_at,
  ABS(TIMESTAMP_DIFF(conversation.first_courier_message, conversation.first_customer_message, SECOND))
    AS first_responsetime_delay_seconds,
  conversation.last_message_time,
  conversation.last_message_order_stage
FROM conversations_by_order AS conversation
INNER JOIN cities AS city
  ON city.orderId = conversation.orderId
