package minio

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"
)

// minio-go would drop the condition of an upload in parts.
func TestUploadWithAConditionIsOneRequest(t *testing.T) {
	const mib = 1 << 20
	content := strings.Repeat("0123456789abcdef", 12*mib/16)
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		set  func(*minio.PutObjectOptions)
		want int
	}{
		{"none", func(*minio.PutObjectOptions) {}, 5},
		{"If-None-Match", func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") }, 1},
		{"If-Match", func(o *minio.PutObjectOptions) { o.SetMatchETag("e") }, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMultipart(func(*http.Request) bool { return false })
				c := m.connect(t, retrying(2))
				opts := minio.PutObjectOptions{PartSize: 5 * mib}
				row.set(&opts)
				if _, err := c.PutObject(t.Context(), "bucket", "object", strings.NewReader(content), 12*mib, opts); err != nil {
					t.Error(err)
				}
				m.wantRequests(t, row.want)
				if _, err := c.FPutObject(t.Context(), "bucket", "object", path, opts); err != nil {
					t.Error(err)
				}
				m.wantRequests(t, 2*row.want)
			})
		})
	}
}
