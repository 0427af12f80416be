package answer

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// Options say what is answered. Stores and Now must be set.
type Options struct {
	// Stores are the directories of the stores. One that is missing or cannot be
	// read holds nothing; it is looked for again with each request.
	Stores []string
	// Layers answers layers, too, as plain tars put together from the store's files.
	Layers bool
	// Now is the clock, for durations and deadlines.
	Now func() time.Time
	// Log gets each request at level debug, and what is wrong with a store; nil is silent.
	Log *slog.Logger
}

// Handler is the answering registry. It is safe for use by many goroutines.
type Handler struct {
	stores   *stores
	layers   bool
	now      func() time.Time
	log      *slog.Logger
	grammar  grammar
	metrics  metrics
	rebuilds *turns
}

// New returns the registry of the stores, which it reads. It does not fail:
// /healthz says which store cannot be read.
func New(o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{
		stores: newStores(o.Stores, o.Now, o.Log), layers: o.Layers, now: o.Now, log: o.Log,
		grammar: newGrammar(), rebuilds: newTurns(),
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &recorder{ResponseWriter: w}
	what := kindBlob // only what panics does not say
	defer h.note(r, &what, out, h.now())
	what = h.serve(out, r)
}

// note counts and logs a request that was answered.
func (h *Handler) note(r *http.Request, what *kind, out *recorder, started time.Time) {
	took := h.now().Sub(started)
	h.metrics.count(*what, out, took)
	h.log.DebugContext(r.Context(), "request", "method", r.Method, "path", echo(r.URL.Path), "query", echo(r.URL.RawQuery),
		"status", out.status, "bytes", out.bytes, "took", took, "remote", r.RemoteAddr, "agent", echo(r.UserAgent()))
}

// serve answers one request and says what it was about.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) kind {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, r, &apiError{http.StatusMethodNotAllowed, codeUnsupported, "this registry is read-only"})
		return kindOther
	}
	switch r.URL.Path {
	case "/healthz":
		h.health(w, r)
		return kindOther
	case "/metrics":
		writeJSON(w, r, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", h.metrics.text(h.stores))
		return kindOther
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	rt, err := h.grammar.parse(r.URL.Path)
	if err == nil {
		err = h.answer(w, r, rt)
	}
	if err != nil {
		writeError(w, r, h.problem(err))
	}
	if rt.kind == "" {
		return kindOther
	}
	return rt.kind
}

// answer answers a request of the distribution specification. Where it returns
// an error it has written nothing.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, rt route) error {
	switch rt.kind {
	case kindManifest:
		return h.manifest(w, r, rt)
	case kindBlob:
		return h.blob(w, r, rt.digest)
	case kindTags:
		return h.listTags(w, r, rt.name)
	case kindReferrers:
		return h.listReferrers(w, r, rt.digest)
	case kindSignatures:
		return h.listSignatures(w, r, rt.digest)
	case kindBase, kindOther:
	}
	if h.stores.current().hasSignatures() {
		w.Header().Set(signaturesHeader, "1")
	}
	writeJSON(w, r, http.StatusOK, "application/json", []byte("{}"))
	return nil
}

// problem is what the client is told about err.
func (h *Handler) problem(err error) *apiError {
	var known *apiError
	if errors.As(err, &known) {
		return known
	}
	h.log.Warn("request failed", "error", err)
	return &apiError{http.StatusInternalServerError, codeUnknown, err.Error()}
}

// read reads from the stores, once more where they changed under the first try.
func (h *Handler) read(get func(*snapshot) ([]byte, error)) ([]byte, error) {
	snap := h.stores.current()
	data, err := get(snap)
	if err != nil {
		if again := h.stores.look(); again != snap {
			return get(again)
		}
	}
	return data, err
}

// health says whether every store can be read.
func (h *Handler) health(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	status := http.StatusOK
	for _, v := range h.stores.look().views {
		if v.err != nil {
			status = http.StatusServiceUnavailable
			visible.Fprintf(&b, "%s: %v\n", v.dir, v.err)
			continue
		}
		visible.Fprintf(&b, "%s: ok, %d images\n", v.dir, len(v.store.Images))
	}
	writeJSON(w, r, status, "text/plain; charset=utf-8", []byte(b.String()))
}

// content writes content that has a digest: HEAD, ranges and If-None-Match are
// answered, too.
func content(w http.ResponseWriter, r *http.Request, d digest.Digest, mediaType string, data []byte) {
	head := w.Header()
	head.Set("Content-Type", mediaType)
	head.Set("Docker-Content-Digest", d.String())
	head.Set("Etag", strconv.Quote(d.String()))
	head.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// unknown reports that a store does not have something, or has lost its file.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, fs.ErrNotExist)
}
