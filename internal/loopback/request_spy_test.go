package loopback

import (
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/synctest"
)

func TestSource(t *testing.T) {
	s := Text("hello")
	r := s.Request(t, "PUT", "http://example.com")
	if r.ContentLength != 5 {
		t.Errorf("the length is %d", r.ContentLength)
	}
	second, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(r.Body, make([]byte, 3))
	want := Bodies{Made: 2, GetBody: 1, Reads: 1, Open: 2, Untouched: 1, Bytes: []int64{3, 0}}
	if got := s.Seen(); !reflect.DeepEqual(got, want) {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}
	r.Body.Close()
	r.Body.Close()
	r.Body.Read(make([]byte, 9))
	if got, err := SumOf(second); got != s.Sum() || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	want = Bodies{Made: 2, GetBody: 1, Reads: 4, Closes: 2, Open: 1, Bytes: []int64{5, 5}, AfterClose: 1}
	if got := s.Seen(); !reflect.DeepEqual(got, want) {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}

	s.GetBodyErr = io.ErrClosedPipe
	if b, err := r.GetBody(); b != nil || !errors.Is(err, io.ErrClosedPipe) || s.Seen().GetBody != 2 || s.Seen().Made != 2 {
		t.Errorf("got %v, %v", b, err)
	}
	s.NoGetBody = true
	if s.Request(t, "PUT", "http://example.com").GetBody != nil {
		t.Error("there is a GetBody")
	}
	if n := Bytes(-1).Request(t, "PUT", "http://example.com").ContentLength; n != -1 {
		t.Errorf("the length of an endless body is %d", n)
	}
}

func TestOverlappingReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		s := Text("")
		s.content = func() io.Reader { return in }
		first, second := s.Body(), s.Body()
		check := func(overlapping, concurrent int) {
			t.Helper()
			synctest.Wait()
			if got := s.Seen(); got.Overlapping != overlapping || got.Concurrent != concurrent {
				t.Errorf("got %+v, want %d overlapping and %d concurrent", got, overlapping, concurrent)
			}
		}
		read := func(b io.Reader) { go b.Read(make([]byte, 1)) }
		read(first)
		check(0, 0)
		read(second)
		check(1, 0)
		read(first)
		check(2, 1)
		out.Close()
		synctest.Wait()
		read(first)
		check(2, 1)
	})
}

func TestGenerate(t *testing.T) {
	for _, size := range []int64{0, 1, 4096, 32749, 32750, 1 << 20} {
		all, err := io.ReadAll(Generate(size))
		if int64(len(all)) != size || err != nil {
			t.Errorf("%d bytes, %v, want %d", len(all), err, size)
		}
		sum, err := SumOf(io.LimitReader(Generate(-1), size))
		if want := Bytes(size).Sum(); sum != want || err != nil || sum.Length != size {
			t.Errorf("got %v, %v, want %v", sum, err, want)
		}
		if size < 4096 {
			continue
		}
		copy(all[1024:], all[:1024]) // a piece that came twice
		if same, _ := SumOf(&fixed{all}); same == sum {
			t.Error("a change was not noticed")
		}
	}
}

type fixed struct{ left []byte }

func (f *fixed) Read(p []byte) (int, error) {
	if len(f.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.left)
	f.left = f.left[n:]
	return n, nil
}
