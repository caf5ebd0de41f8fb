package loopback

import (
	"encoding/binary"
	"errors"
	"io"
)

// The frames of RFC 9113, as far as they matter here.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagAck       = 0x1
	flagEndStream = 0x1
	flagEndHeader = 0x4
	flagPadded    = 0x8
	flagPriority  = 0x20

	settingStreams = 0x3 // MAX_CONCURRENT_STREAMS
	settingWindow  = 0x4 // INITIAL_WINDOW_SIZE

	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	largestFrame  = 16 << 10
	defaultWindow = 65535
)

// A frame is one of HTTP/2.
type frame struct {
	kind    byte
	flags   byte
	stream  uint32
	payload []byte
}

var errFrame = errors.New("loopback: a frame is not well formed")

// readFrame reads one frame.
func readFrame(r io.Reader) (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if size > largestFrame {
		return frame{}, errFrame
	}
	f := frame{head[3], head[4], binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1), make([]byte, size)}
	_, err := io.ReadFull(r, f.payload)
	return f, err
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

// content returns the payload of DATA or HEADERS without padding and priority.
func (f frame) content() ([]byte, error) {
	p := f.payload
	if f.has(flagPadded) {
		if len(p) == 0 || int(p[0]) >= len(p) {
			return nil, errFrame
		}
		p = p[1 : len(p)-int(p[0])]
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		if len(p) < 5 {
			return nil, errFrame
		}
		p = p[5:]
	}
	return p, nil
}

// number returns the 32 bits at an offset of the payload.
func (f frame) number(at int) (uint32, error) {
	if len(f.payload) < at+4 {
		return 0, errFrame
	}
	return binary.BigEndian.Uint32(f.payload[at:]), nil
}

// encode returns the frame as it is sent.
func (f frame) encode() []byte {
	n := len(f.payload)
	b := make([]byte, 0, 9+n)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), f.kind, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

// numbers returns a payload of numbers of 32 bits.
func numbers(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
