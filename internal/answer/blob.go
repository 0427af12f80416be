package answer

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/answer/layertar"
	"github.com/nodeseal/nodeseal/internal/store"
)

const (
	// octets is the type of every blob.
	octets = "application/octet-stream"
)

// blob answers GET and HEAD /v2/<name>/blobs/<digest>.
func (h *Handler) blob(w http.ResponseWriter, r *http.Request, d digest.Digest) error {
	data, err := h.read(func(s *snapshot) ([]byte, error) { return s.blob(d) })
	if err == nil {
		content(w, r, d, octets, data)
		return nil
	}
	if !unknown(err) {
		return err
	}
	if answered, err := h.original(w, r, d); answered || err != nil {
		return err
	}
	return h.layer(w, r, d)
}

// layer answers for a layer, or says why it is not answered.
func (h *Handler) layer(w http.ResponseWriter, r *http.Request, d digest.Digest) error {
	snap := h.stores.current()
	diffID, isLayer := snap.diffID(d)
	v, l, rebuildable := snap.layer(d)
	if isLayer || rebuildable {
		h.metrics.layerRequests.Add(1)
	}
	switch {
	case !isLayer && !rebuildable:
		return errBlobUnknown(d, "no store on this node has it")
	case !h.layers:
		return errBlobUnknown(d, "the layer is in a store on this node, where the runtime finds it; it is served with --layers only")
	case !rebuildable:
		return errBlobUnknown(d, fmt.Sprintf("the compressed bytes of this layer cannot be rebuilt; as a plain tar it is %s", diffID))
	}
	head := w.Header()
	if tag := strconv.Quote(d.String()); r.Header.Get("If-None-Match") == tag {
		head.Set("Etag", tag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	rebuild, err := layertar.Open(filepath.Join(v.dir, filepath.FromSlash(store.TarSplitFile(l.id))),
		filepath.Join(v.dir, filepath.FromSlash(store.DiffDir(l.id))))
	if errors.Is(err, fs.ErrNotExist) {
		return errBlobUnknown(d, "the store has lost what the layer is rebuilt from")
	}
	if err != nil {
		return err
	}
	defer rebuild.Close() //nolint:errcheck // read only
	head.Set("Content-Type", octets)
	head.Set("Docker-Content-Digest", d.String())
	head.Set("Etag", strconv.Quote(d.String()))
	head.Set("Content-Length", strconv.FormatInt(l.size, 10))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	done, err := h.rebuilds.wait(r.Context(), r.RemoteAddr)
	if err != nil {
		head.Set("Retry-After", "5")
		return err
	}
	defer done()
	out := &patient{w: w, control: http.NewResponseController(w), now: h.now, others: h.rebuilds.crowded}
	if err := rebuild.WriteTo(r.Context(), out, d, l.size); err != nil {
		h.log.WarnContext(r.Context(), "layer not rebuilt", "layer", d, "store", v.dir, "error", err)
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
	return nil
}
