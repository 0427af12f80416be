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
	rate    int // requests a second; 0 is any

	mu       sync.Mutex
	inFlight int
	most     int // in flight at once
	asked    int // for manifests and blobs
	turned   int
	second   time.Time // that begun counts in
	begun    int
}

// ServeHTTP implements http.Handler.
func (d *distant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ok := d.enter(r.URL.Path != "/v2/")
	defer d.leave()
	time.Sleep(d.latency)
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
	if now := time.Now(); now.Sub(d.second) > time.Second {
		d.second, d.begun = now, 0
	}
	d.begun++
	if d.rate > 0 && d.begun > d.rate {
		d.turned++
		return false
	}
	return true
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

// TestBundleManyTags resolves 500 tags at a registry that is 50 ms away: as many
// at once as --per-host allows and never more, each manifest and configuration
// asked for once, in about the time that this takes. Asking for attachments, of
// which there are none, and no referrers API, is two requests more for each, beside
// the few that find that out. It does not run beside other tests, for the time's sake.
func TestBundleManyTags(t *testing.T) {
	const latency = 50 * time.Millisecond
	for _, test := range []struct {
		perHost, images, requests int
		flags                     []string
	}{{2, 50, 4, nil}, {8, 100, 4, nil}, {8, 500, 2, []string{"--no-attachments"}}} {
		perHost, images := test.perHost, test.images
		t.Run(fmt.Sprintf("%d tags, per-host %d", images, perHost), func(t *testing.T) {
			m := newMirrored(t)
			d := &distant{latency: latency}
			m.tags(images, d)
			start := time.Now()
			m.bundle("run", append(test.flags, "--per-host", fmt.Sprint(perHost))...)
			took := time.Since(start)
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
			ideal := time.Duration(test.requests) * time.Duration(images) * latency / time.Duration(perHost)
			if took > ideal*3/2+2*time.Second {
				t.Errorf("it took %s, the registry's own time is %s", took, ideal)
			}
			t.Logf("%d requests, %d at once, %s, the registry's own time %s", d.asked, d.most, took, ideal)
		})
	}
}

// TestBundleManyTagsSlowly resolves tags at a registry that takes so many
// requests a second: when it turns one away with Retry-After, nobody asks until
// the time is over.
func TestBundleManyTagsSlowly(t *testing.T) {
	m := newMirrored(t)
	const images, rate = 200, 150
	d := &distant{latency: 10 * time.Millisecond, rate: rate}
	m.tags(images, d)
	start := time.Now()
	m.bundle("run", "--no-attachments")
	took := time.Since(start)
	if d.turned == 0 {
		t.Fatal("nobody was turned away")
	}
	// What was on its way when the first was turned away is turned away too, but
	// nothing after it.
	if most := (2*images + rate) / rate * 8; d.turned > most {
		t.Errorf("%d requests were turned away, want at most %d", d.turned, most)
	}
	if ideal := 2 * images * time.Second / rate; took > 3*ideal+3*time.Second {
		t.Errorf("it took %s, the registry's own time is %s", took, ideal)
	}
	t.Logf("%d requests, %d turned away, %s", d.asked, d.turned, took)
}
