package injector

import (
	"fmt"
	"time"
)

// A Fault is one way to fail. The zero Fault fails nothing.
type Fault struct {
	kind  kind
	times int // how many connections or requests fail; 0: all, until another fault is set
	bytes int64
	after time.Duration
	span  time.Duration // how long the fault lasts; 0: until another fault is set
}

type kind uint8

const (
	pass kind = iota
	refuse
	hang
	cutRequest
	cutAnswer
	busy
	corrupt
	reset
	late
	slow
	slowDown
)

// Refuse closes the port: connections are refused.
func Refuse() Fault { return Fault{kind: refuse} }

// Hang accepts connections and never answers.
func Hang() Fault { return Fault{kind: hang} }

// CutRequest cuts a connection when it is to carry more than that many bytes to the
// server.
func CutRequest(bytes int64) Fault { return Fault{kind: cutRequest, bytes: bytes} }

// CutAnswer cuts a connection when it is to carry more than that many bytes from
// the server.
func CutAnswer(bytes int64) Fault { return Fault{kind: cutAnswer, bytes: bytes} }

// Busy answers requests with the status 503 and asks to wait before the next one,
// in whole seconds.
func Busy(after time.Duration) Fault { return Fault{kind: busy, after: after} }

// Corrupt flips one bit of the body of an answer, in the byte at offset.
func Corrupt(offset int64) Fault { return Fault{kind: corrupt, bytes: offset} }

// Reset resets a connection (RST) when it is to carry more than that many bytes from
// the server. What the client has not read by then it may lose too.
func Reset(bytes int64) Fault { return Fault{kind: reset, bytes: bytes} }

// Late gives every request to the server at once, and every answer to the client so
// much later.
func Late(by time.Duration) Fault { return Fault{kind: late, after: by} }

// Slow carries no more than that many bytes in a second, in each direction of each
// connection.
func Slow(bytesPerSecond int64) Fault { return Fault{kind: slow, bytes: bytesPerSecond} }

// SlowDown answers every request of plain HTTP as an S3 server that has too many of
// them, with the status 503 and the code SlowDown. The server sees none of them.
func SlowDown() Fault { return Fault{kind: slowDown} }

// For ends the fault of connections after d. It does not bring back the port that
// Refuse closed.
func (f Fault) For(d time.Duration) Fault {
	f.span = d
	return f
}

// Times limits the fault to the next n connections, or requests for Busy and
// Corrupt. Others pass.
func (f Fault) Times(n int) Fault {
	f.times = n
	return f
}

// String says in a few words what the fault does.
func (f Fault) String() string {
	switch f.kind {
	case refuse:
		return "connections are refused"
	case hang:
		return f.subject("connection") + " never answered"
	case cutRequest:
		return f.subject("connection") + " cut in mid-body, " + size(f.bytes) + " into the request"
	case cutAnswer:
		if f.bytes == 0 {
			return f.subject("connection") + " cut when the answer comes"
		}
		return f.subject("connection") + " cut in mid-body, " + size(f.bytes) + " into the answer"
	case busy:
		return f.subject("request") + fmt.Sprintf(" answered 503 with Retry-After: %d", int(f.after.Seconds()))
	case corrupt:
		return f.subject("answer") + fmt.Sprintf(" changed in the byte at %d", f.bytes)
	case reset:
		return f.subject("connection") + " reset, " + size(f.bytes) + " into the answer"
	case late:
		return fmt.Sprintf("every answer comes %v late", f.after)
	case slow:
		return "every connection carries " + size(f.bytes) + " in a second"
	case slowDown:
		return "every request is answered SlowDown"
	default:
		return "back to normal"
	}
}

func (f Fault) subject(what string) string {
	switch f.times {
	case 0:
		return "every " + what + " is"
	case 1:
		return "the next " + what + " is"
	default:
		return fmt.Sprintf("the next %d %ss are", f.times, what)
	}
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	default:
		return fmt.Sprintf("%d bytes", bytes)
	}
}
