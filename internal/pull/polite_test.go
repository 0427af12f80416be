package pull_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/pull"
)

func TestMaxPerHost(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	var now, most atomic.Int32
	three, once := make(chan struct{}), sync.Once{}
	r.fail("acme", always, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 3 {
			once.Do(func() { close(three) })
		}
		<-three // the first ones wait until there are as many as may be
		next.ServeHTTP(w, req)
	})
	c, _ := newClient(t, pull.Options{MaxPerHost: 3})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.Head(t.Context(), r.host+"/acme/app:v1"); err != nil {
				t.Error(err)
			}
			if err := readBlob(t, c, r.host+"/acme/app:v1", img, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got != 3 {
		t.Errorf("%d requests at once, want 3", got)
	}
}

// While a registry wants to be left alone, nobody asks it.
func TestRetryAfterHoldsEverybody(t *testing.T) {
	t.Parallel()
	r := plain(t)
	push(t, "acme/app", "v1", 1000, r)
	asleep, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c, _ := newClient(t, pull.Options{Sleep: func(context.Context, time.Duration) error {
		once.Do(func() { close(asleep); <-wake })
		return nil
	}})
	ref := r.host + "/acme/app:v1"
	r.fail("manifests", 1, status(429, "Retry-After", "9"))
	var wg sync.WaitGroup
	ask := func() {
		if _, err := c.Manifest(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	wg.Go(ask)
	<-asleep
	for range 4 {
		wg.Go(ask)
	}
	time.Sleep(50 * time.Millisecond)
	if got := len(r.asked("manifests")); got != 1 {
		t.Errorf("asked %d times in the pause, want none after the first", got)
	}
	close(wake)
	wg.Wait()
	if got := len(r.asked("manifests")); got != 6 {
		t.Errorf("asked %d times, want 6", got)
	}
}

// Whoever watches learns why nothing moves: of a wait that the registry asks for,
// and of one before another try.
func TestOnWait(t *testing.T) {
	t.Parallel()
	r := plain(t)
	push(t, "acme/app", "v1", 1000, r)
	var waits []pull.Wait
	c, slept := newClient(t, pull.Options{OnWait: func(w pull.Wait) { waits = append(waits, w) }})
	r.fail("manifests", 1, status(429, "Retry-After", "9"))
	if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err != nil {
		t.Fatal(err)
	}
	r.fail("manifests", 1, status(503))
	if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err != nil {
		t.Fatal(err)
	}
	if len(waits) != 2 || len(slept.list) != 2 {
		t.Fatalf("%d waits in %d pauses, want 2 in 2", len(waits), len(slept.list))
	}
	for i, code := range []int{429, 503} {
		var failed *pull.StatusError
		if w := waits[i]; w.Host != r.host || !errors.As(w.Reason, &failed) || failed.Status != code || w.For != slept.list[i] {
			t.Errorf("wait %+v at %s, want one of %v for status %d", waits[i], r.host, slept.list[i], code)
		}
	}
}

// A client that waits for a slot, or for the end of a pause, can be interrupted.
func TestWaitingIsInterrupted(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 8<<20, r)
	c, _ := newClient(t, pull.Options{MaxPerHost: 1})
	b, err := c.Blob(t.Context(), r.host+"/acme/app:v1", img.layer, img.size(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Head(ctx, r.host+"/acme/app:v1"); err == nil || ctx.Err() == nil {
		t.Errorf("Head = %v, want the context's end", err)
	}
}

// The default sleep ends at its time, or with the context.
func TestDefaultSleep(t *testing.T) {
	t.Parallel()
	r := plain(t)
	r.fail("manifests", always, status(503))
	c, err := pull.New(pull.Options{
		RegistriesConf: writeFile(t, "registries.conf", ""), AuthFile: writeFile(t, "auth.json", "{}"), Retries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err == nil {
		t.Fatal("no error")
	}
	if d := time.Since(start); d < 250*time.Millisecond || d > time.Minute {
		t.Errorf("two tries took %s", d)
	}
}
