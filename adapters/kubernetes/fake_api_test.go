package kubernetes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// An api is an API server in memory: objects, their versions, and a window of changes
// for watches. It speaks JSON, and answers as a real one does.
type api struct {
	noWatchList bool // an old server: sendInitialEvents is an error
	budget      bool // evictions are refused

	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured // by the path of the object
	changes []change                              // those after oldest
	oldest  int64
	version int64
	changed chan struct{} // closed at the next change
}

// A change is one step of the history that watches follow.
type change struct {
	version int64
	path    string
	kind    watch.EventType
	object  *unstructured.Unstructured
}

func newAPI() *api {
	return &api{objects: map[string]*unstructured.Unstructured{}, version: 1, oldest: 1, changed: make(chan struct{})}
}

// forget drops the history, as the restart of a server does.
func (a *api) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes, a.oldest = nil, a.version
}

// stored returns copies of the objects under a path, such as "/api/v1/namespaces/default/pods".
func (a *api) stored(path string) []*unstructured.Unstructured {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []*unstructured.Unstructured
	for _, key := range slices.Sorted(maps.Keys(a.objects)) {
		if strings.HasPrefix(key, path+"/") {
			found = append(found, a.objects[key].DeepCopy())
		}
	}
	return found
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	t, ok := parseTarget(r)
	switch {
	case !ok:
		fmt.Fprint(w, "ok") // readyz and the like
	case r.Method == http.MethodGet && t.watch:
		a.watch(w, r, t)
	case t.sub == "log":
		followLog(w, r)
	case r.Method == http.MethodGet && t.name == "":
		a.list(w, r, t)
	default:
		object, code, err := a.apply(r, t, body)
		if err != nil {
			writeStatus(w, err)
			return
		}
		writeJSON(w, code, object)
	}
}

// apply carries out a request for one object, or for a collection of them to delete.
func (a *api) apply(r *http.Request, t target, body []byte) (object any, code int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.Method {
	case http.MethodGet:
		object, err := a.find(t)
		return object, http.StatusOK, err
	case http.MethodPost:
		return a.create(r, t, body)
	case http.MethodPut:
		object, err := a.update(r, t, body)
		return object, http.StatusOK, err
	case http.MethodPatch:
		return a.patch(r, t, body)
	case http.MethodDelete:
		return a.remove(r, t, body)
	default:
		return nil, 0, apierrors.NewMethodNotSupported(t.groupResource(), r.Method)
	}
}

func (a *api) find(t target) (*unstructured.Unstructured, error) {
	object := a.objects[t.path()]
	if object == nil {
		return nil, apierrors.NewNotFound(t.groupResource(), t.name)
	}
	return object, nil
}

func (a *api) create(r *http.Request, t target, body []byte) (any, int, error) {
	if t.sub == "eviction" {
		return a.evict(t)
	}
	object, err := decode(t, body)
	if err != nil {
		return nil, 0, err
	}
	if t.name = object.GetName(); t.name == "" {
		if object.GetGenerateName() == "" {
			return nil, 0, apierrors.NewBadRequest("name or generateName is required")
		}
		t.name = object.GetGenerateName() + strconv.FormatInt(a.version+1, 36)
		object.SetName(t.name)
	}
	if a.objects[t.path()] != nil {
		return nil, 0, apierrors.NewAlreadyExists(t.groupResource(), t.name)
	}
	object.SetNamespace(t.namespace)
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", a.version+1)))
	object.SetCreationTimestamp(metav1.NewTime(time.Now()))
	return a.store(r, t, watch.Added, object), http.StatusCreated, nil
}

func (a *api) evict(t target) (any, int, error) {
	if _, err := a.find(target{group: t.group, version: t.version, namespace: t.namespace, resource: t.resource, name: t.name}); err != nil {
		return nil, 0, err
	}
	if a.budget {
		err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{
			Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget pdb needs 1 healthy pods and has 1 currently",
		}}
		return nil, 0, err
	}
	t.sub = ""
	a.record(t, watch.Deleted, a.objects[t.path()].DeepCopy())
	return &metav1.Status{TypeMeta: statusType, Status: metav1.StatusSuccess}, http.StatusCreated, nil
}

func (a *api) update(r *http.Request, t target, body []byte) (any, error) {
	old, err := a.find(t)
	if err != nil {
		return nil, err
	}
	object, err := decode(t, body)
	if err != nil {
		return nil, err
	}
	if v := object.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, conflict(t)
	}
	inherit(object, old)
	return a.store(r, t, watch.Modified, object), nil
}

func (a *api) patch(r *http.Request, t target, body []byte) (any, int, error) {
	old, err := a.find(t)
	apply := strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch")
	if apply && err != nil {
		return a.create(r, t, body)
	}
	if err != nil {
		return nil, 0, err
	}
	var change map[string]any
	if err := json.Unmarshal(body, &change); err != nil {
		return nil, 0, apierrors.NewBadRequest(err.Error())
	}
	object := &unstructured.Unstructured{Object: merge(old.DeepCopy().Object, change)}
	if v := object.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, 0, conflict(t)
	}
	inherit(object, old)
	return a.store(r, t, watch.Modified, object), http.StatusOK, nil
}

func (a *api) remove(r *http.Request, t target, body []byte) (any, int, error) {
	var options metav1.DeleteOptions
	if len(body) > 0 {
		if err := json.Unmarshal(body, &options); err != nil {
			return nil, 0, apierrors.NewBadRequest(err.Error())
		}
	}
	dry := len(options.DryRun) > 0 || r.URL.Query().Get("dryRun") == metav1.DryRunAll
	deleted := 0
	for _, path := range slices.Sorted(maps.Keys(a.objects)) {
		object := a.objects[path]
		if !t.selects(r, path, object) {
			continue
		}
		if p := options.Preconditions; p != nil && p.UID != nil && *p.UID != object.GetUID() {
			return nil, 0, conflict(t)
		}
		deleted++
		if !dry {
			one := t
			one.namespace, one.name = object.GetNamespace(), object.GetName()
			a.record(one, watch.Deleted, object.DeepCopy())
		}
	}
	if t.name != "" && deleted == 0 {
		return nil, 0, apierrors.NewNotFound(t.groupResource(), t.name)
	}
	return &metav1.Status{TypeMeta: statusType, Status: metav1.StatusSuccess}, http.StatusOK, nil
}

func (a *api) store(r *http.Request, t target, kind watch.EventType, object *unstructured.Unstructured) any {
	if r.URL.Query().Get("dryRun") == metav1.DryRunAll {
		return object
	}
	return a.record(t, kind, object)
}

// record makes object, which is nobody else's, the newest change.
func (a *api) record(t target, kind watch.EventType, object *unstructured.Unstructured) *unstructured.Unstructured {
	a.version++
	object.SetResourceVersion(strconv.FormatInt(a.version, 10))
	if kind == watch.Deleted {
		delete(a.objects, t.path())
	} else {
		a.objects[t.path()] = object
	}
	a.changes = append(a.changes, change{a.version, t.path(), kind, object})
	close(a.changed)
	a.changed = make(chan struct{})
	return object
}

// inherit gives object what a client cannot change.
func inherit(object, old *unstructured.Unstructured) {
	object.SetName(old.GetName())
	object.SetNamespace(old.GetNamespace())
	object.SetUID(old.GetUID())
	object.SetCreationTimestamp(old.GetCreationTimestamp())
}

func decode(t target, body []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(body, &object.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	object.SetAPIVersion(t.apiVersion())
	object.SetKind(kinds[t.resource])
	return object, nil
}

// merge is the merge patch of RFC 7386.
func merge(into, change map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for key, value := range change {
		switch value := value.(type) {
		case nil:
			delete(into, key)
		case map[string]any:
			old, _ := into[key].(map[string]any)
			into[key] = merge(old, value)
		default:
			into[key] = value
		}
	}
	return into
}

var errModified = errors.New("the object has been modified; please apply your changes to the latest version and try again")

func conflict(t target) error { return apierrors.NewConflict(t.groupResource(), t.name, errModified) }
