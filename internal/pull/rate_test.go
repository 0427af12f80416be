package pull_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// slowClock is a clock on which everything takes a second.
type slowClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *slowClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

// drip answers with one byte after the other until the client gives up.
func drip(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := answer(r, next)
	copyHeader(w, rec)
	w.WriteHeader(rec.Code)
	for _, b := range rec.Body.Bytes() {
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond) // so that each is read alone
	}
}

// TestSlow: an answer of less than 1 KiB a second is given up after a minute of the
// clock, and the next endpoint is asked for what is missing.
func TestSlow(t *testing.T) {
	t.Parallel()
	clock := &slowClock{}
	for _, what := range []string{"blobs", "manifests"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			mirror, source := plain(t), plain(t)
			img := push(t, "acme/app", "v1", layerSize, mirror, source)
			mirror.fail(what, always, drip)
			c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host), Now: clock.read})
			ref := "quay.example/acme/app@" + img.manifest.String()
			if _, err := c.Manifest(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			if err := readBlob(t, c, ref, img, 0); err != nil {
				t.Fatal(err)
			}
			if n := len(mirror.asked(what)); n != 1 {
				t.Errorf("the slow mirror was asked %d times, want once", n)
			}
			if asked := source.asked(what); len(asked) != 1 || (what == "blobs" && !strings.HasPrefix(asked[0].rng, "bytes=")) {
				t.Errorf("the source was asked %+v", asked)
			}
		})
	}
}

// TestSlowOnly: where no other endpoint has it, the error says how slow it was.
func TestSlowOnly(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	r.fail("blobs", always, drip)
	c, _ := newClient(t, pull.Options{Retries: 2, Now: (&slowClock{}).read})
	err := readBlob(t, c, r.host+"/acme/app:v1", img, 0)
	var e *pull.Error
	if !errors.Is(err, pull.ErrSlow) || !errors.As(err, &e) || !e.Temporary() {
		t.Errorf("error %v, want %v, temporary", err, pull.ErrSlow)
	}
	if n := len(r.asked("blobs")); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}
