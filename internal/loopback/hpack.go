package loopback

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// A field is one of a header, as HTTP/2 has them.
type field struct{ name, value string }

// static is the table of RFC 7541, appendix A.
var static = [...]field{
	{":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
	{":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
	{":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"}, {"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""},
	{"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""}, {"cache-control", ""},
	{"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""},
	{"etag", ""}, {"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""},
	{"if-modified-since", ""}, {"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""},
	{"last-modified", ""}, {"link", ""}, {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""},
	{"proxy-authorization", ""}, {"range", ""}, {"referer", ""}, {"refresh", ""}, {"retry-after", ""},
	{"server", ""}, {"set-cookie", ""}, {"strict-transport-security", ""}, {"transfer-encoding", ""},
	{"user-agent", ""}, {"vary", ""}, {"via", ""}, {"www-authenticate", ""},
}

// dynamicSize is the default size of the dynamic table.
const dynamicSize = 4096

// A decoder decodes the headers of one connection.
type decoder struct {
	dynamic []field // the newest first
	limit   int
}

var errHeader = errors.New("loopback: a header is not well coded")

// decode returns the fields of one header.
func (d *decoder) decode(b []byte) (fields []field, err error) {
	for len(b) > 0 {
		var f field
		switch first := b[0]; {
		case first&0x80 != 0: // indexed
			f, b, err = d.indexed(b, 7)
		case first&0xe0 == 0x20: // another size of the table
			d.limit, b, err = integer(b, 5)
			d.evict()
			if err != nil {
				return nil, err
			}
			continue
		case first&0xc0 == 0x40: // literal, to be added to the table
			if f, b, err = d.literal(b, 6); err == nil {
				d.dynamic = append([]field{f}, d.dynamic...)
				d.evict()
			}
		default: // literal
			f, b, err = d.literal(b, 4)
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// evict drops what is too much for the table.
func (d *decoder) evict() {
	size := 0
	for i, f := range d.dynamic {
		if size += len(f.name) + len(f.value) + 32; size > d.limit {
			d.dynamic = d.dynamic[:i]
			return
		}
	}
}

func (d *decoder) indexed(b []byte, bits int) (field, []byte, error) {
	i, b, err := integer(b, bits)
	switch {
	case err != nil:
		return field{}, nil, err
	case i >= 1 && i <= len(static):
		return static[i-1], b, nil
	case i > len(static) && i <= len(static)+len(d.dynamic):
		return d.dynamic[i-len(static)-1], b, nil
	}
	return field{}, nil, errHeader
}

func (d *decoder) literal(b []byte, bits int) (f field, rest []byte, err error) {
	if b[0]&(1<<bits-1) == 0 {
		f.name, b, err = text(b[1:])
	} else {
		f, b, err = d.indexed(b, bits)
	}
	if err == nil {
		f.value, b, err = text(b)
	}
	return f, b, err
}

// integer decodes a number whose first byte has that many bits for it.
func integer(b []byte, bits int) (int, []byte, error) {
	if len(b) == 0 {
		return 0, nil, errHeader
	}
	most := 1<<bits - 1
	n := int(b[0]) & most
	b = b[1:]
	for shift := 0; n >= most && shift < 28; shift += 7 {
		if len(b) == 0 {
			return 0, nil, errHeader
		}
		n += int(b[0]&0x7f) << shift
		last := b[0]&0x80 == 0
		b = b[1:]
		if last {
			break
		}
	}
	return n, b, nil
}

// text decodes a string.
func text(b []byte) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errHeader
	}
	coded := b[0]&0x80 != 0
	n, b, err := integer(b, 7)
	if err != nil || n > len(b) {
		return "", nil, errHeader
	}
	if coded {
		decoded, err := unhuffman(b[:n])
		return decoded, b[n:], err
	}
	return string(b[:n]), b[n:], nil
}

// encodeHeader encodes a header without tables. Status 0 is none: a trailer.
func encodeHeader(status int, header http.Header) []byte {
	var b []byte
	if status != 0 {
		b = encodeField(b, field{":status", strconv.Itoa(status)})
	}
	for name, values := range header {
		for _, value := range values {
			b = encodeField(b, field{strings.ToLower(name), value})
		}
	}
	return b
}

func encodeField(b []byte, f field) []byte {
	b = append(b, 0) // a literal with a name, not for the table
	for _, s := range []string{f.name, f.value} {
		b = append(encodeLength(b, len(s)), s...)
	}
	return b
}

// encodeLength encodes the length of a string in plain text.
func encodeLength(b []byte, n int) []byte {
	if n < 0x7f {
		return append(b, byte(n))
	}
	b = append(b, 0x7f)
	for n -= 0x7f; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
