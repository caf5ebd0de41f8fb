// Command failover keeps a backup going while its S3 endpoint is down. A [Store] writes
// to a primary endpoint, and to a secondary one when the circuit breaker of the primary
// rejects the call or the primary fails. The secondary's bucket holds only what is still to
// be copied back, each write under a name of its own: it is the journal, and it survives a
// restart of the program. Reads ask it first, so that they see the newest write.
// Reconcile copies back what it holds once the primary has recovered. The program tells
// such an outage with two servers in its own process:
//
//	go run ./failover
package main

import (
	"context"
	"log"
	"os"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}
