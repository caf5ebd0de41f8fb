package minio

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// Shadowed are the methods of minio-go that have a signature of their own here, or
// another method in their place: they stream lazily, return channels, or consume what
// one attempt cannot give back.
var shadowed = map[string]string{
	"GetObject":               "GetObject",
	"SelectObjectContent":     "SelectObjectContent",
	"ListObjects":             "ListObjects",
	"ListObjectsIter":         "ListObjects",
	"ListUnsorted":            "ListObjects",
	"ListIncompleteUploads":   "ListIncompleteUploads",
	"ListDirectoryBuckets":    "ListDirectoryBuckets",
	"RemoveObjects":           "RemoveObjects",
	"RemoveObjectsWithResult": "RemoveObjects",
	"RemoveObjectsWithIter":   "RemoveObjects",

	"ListenBucketNotification": "ListenBucketNotification",
	"ListenNotification":       "ListenNotification",

	"HealthCheck": "HealthCheck",
	"IsOnline":    "HealthCheck", // these two read what minio-go's HealthCheck notes
	"IsOffline":   "HealthCheck",
}

// Raw are the methods that are left to Raw: they are settings and state of this
// process, and send nothing to the server.
var rawOnly = []string{
	"CredContext", "GetCreds", "SetAppInfo", "SetS3EnableDualstack", "SetS3TransferAccelerate",
	"TraceErrorsOnlyOff", "TraceErrorsOnlyOn", "TraceOff", "TraceOn", "UploadLimits",
}

// outside are the methods of a Client that are not, or not always, calls through the
// chain.
var outside = []string{
	"EndpointURL", "HealthCheck", "ListenBucketNotification", "ListenNotification", "GetBucketLocation",
	"Presign", "PresignHeader", "PresignedGetObject", "PresignedHeadObject", "PresignedPutObject", "PresignedPostPolicy",
}

// Every method of minio-go is forwarded, shadowed or deliberately raw.
func TestSurfaceIsWhole(t *testing.T) {
	ours, theirs := reflect.TypeFor[*Client](), reflect.TypeFor[*minio.Client]()
	count := map[string]int{}
	for m := range theirs.Methods() {
		own, forwarded := ours.MethodByName(m.Name)
		same := forwarded && sameSignature(own.Type, m.Type)
		substitute, isShadowed := shadowed[m.Name]
		isRaw := slices.Contains(rawOnly, m.Name)
		_, substituted := ours.MethodByName(substitute)
		switch {
		case same && !isShadowed && !isRaw:
			count["forwarded"]++
		case !same && isShadowed && substituted && !isRaw:
			count["shadowed"]++
		case !forwarded && isRaw && !isShadowed:
			count["raw"]++
		default:
			t.Errorf("%s: same signature %v, shadowed %v by %q, raw %v", m.Name, same, isShadowed, substitute, isRaw)
		}
	}
	documentation, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{
		fmt.Sprintf("All %d methods", theirs.NumMethod()),
		fmt.Sprintf("| same signature | %d |", count["forwarded"]),
		fmt.Sprintf("| another signature | %d |", count["shadowed"]),
		fmt.Sprintf("| left to `Raw()` | %d |", count["raw"]),
	} {
		if !strings.Contains(string(documentation), said) {
			t.Errorf("README.md does not say %q", said)
		}
	}
	for name := range shadowed {
		if _, ok := theirs.MethodByName(name); !ok {
			t.Errorf("minio-go has no method %s any more", name)
		}
	}
	for _, name := range rawOnly {
		if _, ok := theirs.MethodByName(name); !ok {
			t.Errorf("minio-go has no method %s any more", name)
		}
	}
}

// Every method of a Client that takes part in a chain is in the table of operations.
func TestEveryOperationIsInTheTable(t *testing.T) {
	tested := map[string]bool{}
	for _, row := range operations {
		if tested[row.name] {
			t.Errorf("%s is in the table twice", row.name)
		}
		tested[row.name] = true
	}
	for m := range reflect.TypeFor[*Client]().Methods() {
		special := slices.Contains(outside, m.Name) || m.Name == "Do" || m.Name == "Raw"
		if tested[m.Name] == special {
			t.Errorf("%s: in the table %v, outside the chain %v", m.Name, tested[m.Name], special)
		}
		delete(tested, m.Name)
	}
	for name := range tested {
		t.Errorf("there is no method %s", name)
	}
}

// sameSignature reports whether two methods differ in their receivers only.
func sameSignature(a, b reflect.Type) bool {
	if a.NumIn() != b.NumIn() || a.NumOut() != b.NumOut() || a.IsVariadic() != b.IsVariadic() {
		return false
	}
	for i := 1; i < a.NumIn(); i++ {
		if a.In(i) != b.In(i) {
			return false
		}
	}
	for i := range a.NumOut() {
		if a.Out(i) != b.Out(i) {
			return false
		}
	}
	return true
}
