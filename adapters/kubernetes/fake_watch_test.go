package kubernetes_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
)

const bookmarkPeriod = time.Minute

func (a *api) list(w http.ResponseWriter, r *http.Request, t target) {
	a.mu.Lock()
	now := a.version
	items := a.selected(r, t)
	oldest := a.oldest
	a.mu.Unlock()
	asked, err := version(r)
	switch {
	case err != nil:
		writeStatus(w, err)
		return
	case asked > now:
		writeStatus(w, tooLarge(asked, now))
		return
	case r.URL.Query().Get("resourceVersionMatch") == string(metav1.ResourceVersionMatchExact) && asked < oldest:
		writeStatus(w, expired(asked, oldest))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"kind": kinds[t.resource] + "List", "apiVersion": t.apiVersion(), "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.FormatInt(now, 10)},
	})
}

// selected returns the objects that a request is about, sorted by path. They are not
// to be changed.
func (a *api) selected(r *http.Request, t target) []*unstructured.Unstructured {
	found := []*unstructured.Unstructured{}
	for path, object := range a.objects {
		if t.selects(r, path, object) {
			found = append(found, object)
		}
	}
	slices.SortFunc(found, func(x, y *unstructured.Unstructured) int {
		return slices.Compare([]string{x.GetNamespace(), x.GetName()}, []string{y.GetNamespace(), y.GetName()})
	})
	return found
}

// watch streams changes until the client leaves or its timeoutSeconds are over.
func (a *api) watch(w http.ResponseWriter, r *http.Request, t target) {
	query := r.URL.Query()
	asked, err := version(r)
	initial := query.Get("sendInitialEvents") == "true"
	if err == nil && initial {
		err = a.allowsInitial(query.Get("resourceVersionMatch"), asked)
	}
	if err != nil {
		writeStatus(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	s := &stream{w: w, t: t, bookmarks: query.Get("allowWatchBookmarks") == "true"}
	s.flush()

	seconds, err := strconv.Atoi(query.Get("timeoutSeconds"))
	if err != nil {
		seconds = 1800
	}
	over := time.NewTimer(time.Duration(seconds) * time.Second)
	defer over.Stop()
	tick := time.NewTicker(bookmarkPeriod)
	defer tick.Stop()

	at := asked
	if initial || asked == 0 {
		a.mu.Lock()
		objects := a.selected(r, t)
		at = a.version
		a.mu.Unlock()
		for _, object := range objects {
			s.send(watch.Added, object)
		}
		if initial {
			s.bookmark(at, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		}
	}
	for {
		a.mu.Lock()
		changed, oldest := a.changed, a.oldest
		var news []change
		for _, c := range a.changes {
			if c.version > at && t.selects(r, c.path, c.object) {
				news = append(news, c)
			}
		}
		last := a.version
		a.mu.Unlock()
		if at < oldest {
			s.send(watch.Error, statusOf(expired(at, oldest)))
			return
		}
		for _, c := range news {
			s.send(c.kind, c.object)
		}
		at = max(at, last)
		s.flush()
		select {
		case <-changed:
		case <-tick.C:
			s.bookmark(at, nil)
		case <-over.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// allowsInitial returns the error of a watch that cannot begin with the objects there are.
func (a *api) allowsInitial(match string, asked int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var problems field.ErrorList
	if a.noWatchList {
		problems = append(problems, field.Forbidden(field.NewPath("sendInitialEvents"),
			"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"))
	}
	if match != string(metav1.ResourceVersionMatchNotOlderThan) {
		problems = append(problems, field.Forbidden(field.NewPath("resourceVersionMatch"),
			"sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
	}
	switch {
	case len(problems) > 0:
		return apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "ListOptions"}, "", problems)
	case asked > a.version:
		return tooLarge(asked, a.version)
	default:
		return nil
	}
}

// A stream is the response of a watch.
type stream struct {
	w         http.ResponseWriter
	t         target
	bookmarks bool
}

func (s *stream) send(kind watch.EventType, object any) {
	writeLine(s.w, map[string]any{"type": kind, "object": object})
}

func (s *stream) bookmark(version int64, annotations map[string]string) {
	if !s.bookmarks {
		return
	}
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(s.t.apiVersion())
	object.SetKind(kinds[s.t.resource])
	object.SetResourceVersion(strconv.FormatInt(version, 10))
	object.SetAnnotations(annotations)
	s.send(watch.Bookmark, object)
}

func (s *stream) flush() { http.NewResponseController(s.w).Flush() }

// version returns the resourceVersion of a request, 0 for none.
func version(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("resourceVersion")
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q", text))
	}
	return v, nil
}

func expired(asked, oldest int64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", asked, oldest))
}

func tooLarge(asked, now int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", asked, now), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

// followLog writes a line each second for as long as somebody listens.
func followLog(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		fmt.Fprintf(w, "line %d\n", n)
		http.NewResponseController(w).Flush()
		if r.URL.Query().Get("follow") != "true" {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// touch makes a change that no history leads to.
func (a *api) touch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.oldest = a.version
	close(a.changed)
	a.changed = make(chan struct{})
}
