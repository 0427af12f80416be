package answer

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/store"
)

// piece is how many bytes of a file a client takes at a time.
const piece = 256 << 10

// original answers for a layer that a store keeps as the registry has it; false where none
// does. The bytes go from the file to the connection: clients prove them by the digest.
func (h *Handler) original(w http.ResponseWriter, r *http.Request, d digest.Digest) (answered bool, err error) {
	snap := h.stores.current()
	f, err := snap.original(d)
	if err != nil {
		if again := h.stores.look(); again != snap {
			f, err = again.original(d)
		}
	}
	if err != nil && unknown(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	h.metrics.originals.Add(1)
	if out, ok := w.(*recorder); ok {
		out.renew = func() error { return h.renew(w) }
	}
	head := w.Header()
	head.Set("Content-Type", octets)
	head.Set("Docker-Content-Digest", d.String())
	head.Set("Etag", strconv.Quote(d.String()))
	http.ServeContent(w, r, "", time.Time{}, f)
	return true, nil
}

// renew gives a client new time, where there are deadlines.
func (h *Handler) renew(w http.ResponseWriter) error {
	control, deadline := http.NewResponseController(w), h.now().Add(patience)
	for _, set := range []func(time.Time) error{control.SetReadDeadline, control.SetWriteDeadline} {
		if err := set(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// original opens a layer that a store keeps as the registry has it. The error wraps
// store.ErrUnknown where none does.
func (s *snapshot) original(d digest.Digest) (*os.File, error) {
	failed := error(store.ErrUnknown)
	for _, v := range s.views {
		size, ok := v.originals[d]
		if !ok {
			continue
		}
		f, err := openSized(v.store, d, size)
		if err == nil {
			return f, nil
		}
		if unknown(failed) {
			failed = err
		}
	}
	return nil, failed
}

// openSized opens a layer that has its length: what was cut short is not given out.
func openSized(s *store.Store, d digest.Digest, size int64) (*os.File, error) {
	f, err := s.OpenOriginal(d)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("layer %s has %d bytes, want %d: %w", d, info.Size(), size, store.ErrDamaged)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
