CREATE OR REPLACE VIEW customer_courier_conversations_latest AS
SELECT *
FROM customer_courier_conversations
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY order_id ORDER BY version DESC, last_message_time DESC, city_code) = 1
