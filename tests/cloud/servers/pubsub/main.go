// A Pub/Sub server of Google's client library: unlike the emulator it honours filters.
package main

import (
	"flag"
	"fmt"
	"log"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	port := flag.Int("port", 0, "to listen on")
	flag.Parse()
	server := pstest.NewServerWithPort(*port)
	fmt.Println("pubsub listening on", server.Addr)
	log.Fatal(<-make(chan error))
}
