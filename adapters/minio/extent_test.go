package minio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// What asks for the rest asks with all that asked for the whole, and with maps of its own.
func TestOptionsAreCopiedWhole(t *testing.T) {
	key, err := encrypt.NewSSEC(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	opts := minio.GetObjectOptions{VersionID: "v", ServerSideEncryption: key, PartNumber: 2, Checksum: true, ParallelWorkers: 3}
	opts.Set("X-Custom", "custom")
	opts.Set("Range", "bytes=1-2")
	opts.SetReqParam("response-content-type", "text/plain")
	opts.SetReqParam("x-process", "resize")

	c := fresh(opts)
	if fmt.Sprint(c.Header()) != fmt.Sprint(opts.Header()) || fmt.Sprintf("%+v", c) != fmt.Sprintf("%+v", opts) {
		t.Errorf("the copy is %+v, want %+v", c, opts)
	}
	c.Set("Range", "bytes=5-")
	c.AddReqParam("x-process", "another")
	if opts.Header().Get("Range") != "bytes=1-2" || strings.Contains(fmt.Sprintf("%+v", opts), "another") {
		t.Errorf("the copy shares its maps: %+v", opts)
	}

	rest := continued(opts, minio.ObjectInfo{ETag: "e", VersionID: "w"})
	if h := rest.Header(); h.Get("Range") != "" || h.Get("If-Match") != `"e"` || h.Get("X-Custom") != "custom" ||
		h.Get("X-Amz-Server-Side-Encryption-Customer-Key") == "" || rest.VersionID != "v" || rest.PartNumber != 0 || rest.Checksum ||
		!strings.Contains(fmt.Sprintf("%+v", rest), "resize") {
		t.Errorf("the rest is asked for with %+v, %v", rest, h)
	}
	if rest := continued(minio.GetObjectOptions{}, minio.ObjectInfo{ETag: `W/"e`, VersionID: "w"}); rest.VersionID != "w" || rest.Header().Get("If-Match") != "" {
		t.Errorf("the rest is asked for with %+v", rest)
	}
}
