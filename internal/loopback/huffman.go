package loopback

import "errors"

// codeLengths are the lengths in bits of the codes of RFC 7541, appendix B. The
// codes follow from them: those of one length are in the order of the bytes.
var codeLengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const longestCode = 30

// A code is what the codes of one length are.
type code struct {
	first uint32 // the first of them
	bytes []byte // what they stand for, in order
}

var codes = func() (found [longestCode + 1]code) {
	var next uint32
	for length := 1; length <= longestCode; length++ {
		next <<= 1
		found[length].first = next
		for b, l := range codeLengths {
			if int(l) == length {
				found[length].bytes = append(found[length].bytes, byte(b))
				next++
			}
		}
	}
	return found
}()

var errHuffman = errors.New("loopback: a string is not well coded")

// unhuffman decodes a string. What is left at its end is padding.
func unhuffman(coded []byte) (string, error) {
	var decoded []byte
	var bits uint32
	length := 0
	for _, b := range coded {
		for shift := 7; shift >= 0; shift-- {
			bits = bits<<1 | uint32(b>>shift&1)
			length++
			if length > longestCode {
				return "", errHuffman
			}
			if c := codes[length]; bits >= c.first && bits-c.first < uint32(len(c.bytes)) {
				decoded = append(decoded, c.bytes[bits-c.first])
				bits, length = 0, 0
			}
		}
	}
	return string(decoded), nil
}
