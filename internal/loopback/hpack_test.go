package loopback

import (
	"encoding/hex"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// The examples of RFC 7541, appendices C.4 (with Huffman codes) and C.3.
func TestDecodeExamples(t *testing.T) {
	request := func(scheme, path string, more ...field) []field {
		return append([]field{{":method", "GET"}, {":scheme", scheme}, {":path", path}, {":authority", "www.example.com"}}, more...)
	}
	want := [][]field{
		request("http", "/"),
		request("http", "/", field{"cache-control", "no-cache"}),
		request("https", "/index.html", field{"custom-key", "custom-value"}),
	}
	for _, blocks := range [][]string{
		{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"},
		{"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865", "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"},
	} {
		d := decoder{limit: dynamicSize}
		for i, block := range blocks {
			b, err := hex.DecodeString(block)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := d.decode(b); !reflect.DeepEqual(got, want[i]) || err != nil {
				t.Errorf("block %d: got %v, %v, want %v", i+1, got, err, want[i])
			}
		}
		if d.limit = 57; len(d.dynamic) != 3 {
			t.Errorf("the table is %v", d.dynamic)
		}
		if d.evict(); len(d.dynamic) != 1 && len(d.dynamic) != 0 {
			t.Errorf("after it shrank the table is %v", d.dynamic)
		}
	}
}

func TestEncodeIsDecoded(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 254, 255, 256, 100_000} {
		value := strings.Repeat("x", n)
		got, err := new(decoder).decode(encodeHeader(200, http.Header{"X-A": {value}}))
		if want := []field{{":status", "200"}, {"x-a", value}}; !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("with %d letters: got %.99v, %v", n, got, err)
		}
	}
}

// What is not well coded is an error, not a panic.
func TestDecodeErrors(t *testing.T) {
	whole, err := hex.DecodeString("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		d := decoder{limit: dynamicSize, dynamic: []field{{"a", "b"}, {"c", "d"}}}
		if got, err := d.decode(whole[:i]); err == nil && i > 4 {
			t.Errorf("of %d bytes: %v", i, got)
		}
	}
	for _, block := range []string{"\x80", "\xff\xff\xff\xff\xff\x0f", "\x7f", "\x00\x7f\xff", "\x00\x84\xff\xff\xff\xff\x00"} {
		if got, err := new(decoder).decode([]byte(block)); err == nil {
			t.Errorf("%x: got %v", block, got)
		}
	}
}
