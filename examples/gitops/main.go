// Command gitops follows a Git repository: it keeps what runs the way that a manifest
// on the branch main says, and reports on the branch status what it has applied. While
// the Git host is down it goes on with the copy that it has, and it catches up by
// itself. The program tells such an outage with a server in its own process, which
// needs git:
//
//	go run ./gitops
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
