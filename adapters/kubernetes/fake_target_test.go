package kubernetes_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var kinds = map[string]string{"configmaps": "ConfigMap", "pods": "Pod", "secrets": "Secret", "leases": "Lease"}

// A target is what the path of a request names.
type target struct {
	group, version, namespace, resource, name, sub string

	watch bool
}

// parseTarget reads a path that may have a prefix, such as that of a proxy.
func parseTarget(r *http.Request) (t target, ok bool) {
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	for len(segments) > 0 && segments[0] != "api" && segments[0] != "apis" {
		segments = segments[1:]
	}
	next := func() (segment string) {
		if len(segments) > 0 {
			segment, segments = segments[0], segments[1:]
		}
		return segment
	}
	if next() == "apis" {
		t.group = next()
	}
	t.version = next()
	t.watch, _ = strconv.ParseBool(r.URL.Query().Get("watch"))
	t.resource = next()
	if t.resource == "watch" {
		t.watch, t.resource = true, next()
	}
	if t.resource == "namespaces" && len(segments) > 1 {
		t.namespace, t.resource = next(), next()
	}
	t.name, t.sub = next(), next()
	return t, t.resource != ""
}

func (t target) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: t.group, Resource: t.resource}
}

func (t target) apiVersion() string {
	return schema.GroupVersion{Group: t.group, Version: t.version}.String()
}

func (t target) path() string {
	path := "/api/" + t.apiVersion()
	if t.group != "" {
		path = "/apis/" + t.apiVersion()
	}
	if t.namespace != "" {
		path += "/namespaces/" + t.namespace
	}
	return path + "/" + t.resource + "/" + t.name
}

// selects reports whether the request is about the object at a path.
func (t target) selects(r *http.Request, path string, object *unstructured.Unstructured) bool {
	one := t
	one.namespace, one.name = object.GetNamespace(), object.GetName()
	if one.path() != path || t.namespace != "" && t.namespace != one.namespace || t.name != "" && t.name != one.name {
		return false
	}
	query := r.URL.Query()
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	if err != nil || !byLabel.Matches(labels.Set(object.GetLabels())) {
		return false
	}
	byField, err := fields.ParseSelector(query.Get("fieldSelector"))
	return err == nil && byField.Matches(fields.Set{"metadata.name": object.GetName(), "metadata.namespace": object.GetNamespace()})
}

var statusType = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}

// statusOf returns the Status of an error as it goes over the wire.
func statusOf(err error) metav1.Status {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.ErrStatus
	s.TypeMeta = statusType
	return s
}

func writeStatus(w http.ResponseWriter, err error) {
	s := statusOf(err)
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	writeJSON(w, int(s.Code), s)
}

// writeLine writes object and a new line. A client that has left is no mistake.
func writeLine(w io.Writer, object any) {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	w.Write(append(text, '\n'))
}

func writeJSON(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	writeLine(w, object)
}
