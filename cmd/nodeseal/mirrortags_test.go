package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// distant is a registry that answers after a while, and, with a rate, turns
// away who asks more often.
type distant struct {
	inner   http.Handler
	latency time.Duration
	full    int // answers wait for so many at once, but no longer than latency; 0 is none
	rate    int // requests between two pauses of a second; 0 is any

	mu       sync.Mutex
	inFlight int
	most     int // in flight at once
	asked    int // for manifests and blobs
	turned   int
	paused   time.Time // when the pause began; zero is none
	begun    int       // since the last pause
}

// ServeHTTP implements http.Handler.
func (d *distant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ok := d.enter(r.URL.Path != "/v2/")
	defer d.leave()
	if r.URL.Path != "/v2/" { // it is asked alone
		d.await()
	}
	if !ok {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	d.inner.ServeHTTP(w, r)
}

func (d *distant) enter(counts bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inFlight++
	d.most = max(d.most, d.inFlight)
	if !counts {
		return true
	}
	d.asked++
	if !d.paused.IsZero() && time.Since(d.paused) >= time.Second {
		d.paused, d.begun = time.Time{}, 0
	}
	d.begun++
	if d.rate == 0 || d.begun <= d.rate {
		return true
	}
	if d.paused.IsZero() {
		d.paused = time.Now()
	}
	d.turned++
	return false
}

// await lets an answer wait until as many requests came as may come at once: it does
// not matter then how fast the machine sends them.
func (d *distant) await() {
	for end := time.Now().Add(d.latency); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		enough := d.full > 0 && d.most >= d.full
		d.mu.Unlock()
		if enough {
			return
		}
	}
}

func (d *distant) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inFlight--
}

// tags fills a registry with images of one repository, each under a tag, and
// puts it in the place of m's own. The list names the tags.
func (m *mirrored) tags(images int, d *distant) {
	m.t.Helper()
	content := m.registry.Content
	var list strings.Builder
	for i := range images {
		config, err := json.Marshal(v1.Image{
			Author: fmt.Sprint(i), Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
			RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{m.layers[0].DiffID}},
		})
		check(m.t, err)
		sum, err := content.AddBlob(config)
		check(m.t, err)
		manifest, err := json.Marshal(v1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
			Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: sum, Size: int64(len(config))},
			Layers: []v1.Descriptor{m.layers[0].Descriptor},
		})
		check(m.t, err)
		tag := fmt.Sprintf("v%d", i)
		content.AddManifest("team/many", v1.MediaTypeImageManifest, manifest, tag)
		fmt.Fprintf(&list, "registry.example/team/many:%s\n", tag)
	}
	check(m.t, os.WriteFile(m.path("images.lst"), []byte(list.String()), 0o600))
	d.inner = &testregistry.Registry{Content: content}
	server := httptest.NewServer(d)
	m.t.Cleanup(server.Close)
	m.conf("location = %q\ninsecure = true\n", server.Listener.Addr().String())
}

// TestBundleManyTags resolves 500 tags at a registry that is far away: as many
// at once as --per-host allows and never more, each manifest and configuration
// asked for once. Asking for attachments, of which there are none, and no referrers
// API, is two requests more for each, beside the few that find that out.
func TestBundleManyTags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		perHost, images, requests int
		flags                     []string
	}{{2, 50, 4, nil}, {8, 100, 4, nil}, {8, 500, 2, []string{"--no-attachments"}}} {
		perHost, images := test.perHost, test.images
		t.Run(fmt.Sprintf("%d tags, per-host %d", images, perHost), func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t)
			d := &distant{latency: time.Minute, full: perHost}
			m.tags(images, d)
			m.bundle("run", append(test.flags, "--per-host", fmt.Sprint(perHost))...)
			if d.most != perHost {
				t.Errorf("%d requests at once, want %d", d.most, perHost)
			}
			want, more := test.requests*images+1, 0
			if test.flags == nil {
				more = 8 // as many images as are worked on at once
			}
			if d.asked < want || d.asked > want+more {
				t.Errorf("%d requests, want %d and at most %d more", d.asked, want, more)
			}
		})
	}
}

// TestBundleManyTagsSlowly resolves tags at a registry that makes a pause after so
// many requests: when it turns one away with Retry-After, no request comes until
// the time is over.
func TestBundleManyTagsSlowly(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	const images, rate = 200, 150
	d := &distant{latency: 10 * time.Millisecond, rate: rate}
	m.tags(images, d)
	cmd := m.command("run", "--no-attachments")
	cmd.Args[0] = "nodeseal-on-time"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if d.turned == 0 {
		t.Fatal("nobody was turned away")
	}
	// What was on its way when the first was turned away is turned away too, but
	// nothing after it.
	if most := (2*images + rate) / rate * 8; d.turned > most {
		t.Errorf("%d requests were turned away, want at most %d", d.turned, most)
	}
	t.Logf("%d requests, %d turned away", d.asked, d.turned)
}
