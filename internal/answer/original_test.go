package answer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// osStore writes a store that keeps the layer of one image as the registry has it, and not
// that of another one.
func osStore(t testing.TB, dir string) (kept, other bundle.Layer, data []byte) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	tar := storetest.Tar(t, storetest.File("kernel", string(bytes.Repeat([]byte("0123456789abcdef"), 200_000))))
	img := *src.Add(storetest.Image{Repository: "quay.io/os", Layers: [][]byte{tar}, Original: true})
	app := *src.Add(storetest.Image{Repository: "quay.io/app", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "b"))}, Compression: "gzip"})
	writeStore(t, dir, src, nil)
	kept, other = img.Layers[0], app.Layers[0]
	data = src.Registry(kept.Digest)
	put(t, filepath.Join(dir, store.OriginalPath(kept.Digest)), data)
	// A file that no image is said to keep is not answered.
	put(t, filepath.Join(dir, store.OriginalPath(other.Digest)), src.Registry(other.Digest))
	return kept, other, data
}

func TestOriginal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept, other, data := osStore(t, dir)
	for name, addr := range map[string]string{
		"one slot": serveOn(t, handler(dir)), "the second slot": serveOn(t, handler(filepath.Join(dir, "missing"), dir)),
	} {
		t.Run(name, func(t *testing.T) {
			url := "http://" + addr + "/v2/quay.io/os/blobs/"
			for _, tt := range []struct {
				method, rng   string
				status        int
				want          []byte
				length        int
				contentsRange string
			}{
				{"GET", "", 200, data, len(data), ""},
				{"HEAD", "", 200, nil, len(data), ""},
				{"GET", "bytes=10-19", 206, data[10:20], 10, fmt.Sprintf("bytes 10-19/%d", len(data))},
				{"GET", "bytes=2000000-", 206, data[2_000_000:], len(data) - 2_000_000, fmt.Sprintf("bytes 2000000-%d/%d", len(data)-1, len(data))},
				{"GET", "bytes=-5", 206, data[len(data)-5:], 5, fmt.Sprintf("bytes %d-%d/%d", len(data)-5, len(data)-1, len(data))},
				{"GET", fmt.Sprintf("bytes=%d-", len(data)), 416, nil, -1, fmt.Sprintf("bytes */%d", len(data))},
			} {
				resp := do(t, tt.method, url+kept.Digest.String(), tt.rng)
				got, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tt.status || (tt.status < 300 && !bytes.Equal(got, tt.want)) {
					t.Errorf("%s %s: status %d, %d bytes, %v", tt.method, tt.rng, resp.StatusCode, len(got), err)
				}
				if tt.length >= 0 && resp.ContentLength != int64(tt.length) {
					t.Errorf("%s %s: Content-Length %d, want %d", tt.method, tt.rng, resp.ContentLength, tt.length)
				}
				if r := resp.Header.Get("Content-Range"); r != tt.contentsRange {
					t.Errorf("%s %s: Content-Range %q, want %q", tt.method, tt.rng, r, tt.contentsRange)
				}
				if d := resp.Header.Get("Docker-Content-Digest"); tt.status < 300 && d != kept.Digest.String() {
					t.Errorf("%s %s: digest %q", tt.method, tt.rng, d)
				}
			}
			for _, d := range []digest.Digest{other.Digest, digest.FromString("unknown")} {
				if resp := do(t, "GET", url+d.String(), ""); resp.StatusCode != 404 {
					t.Errorf("%s: status %d, want 404", d, resp.StatusCode)
				}
			}
		})
	}
}

func do(t testing.TB, method, url, rng string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestOriginalGone answers 404 for a layer that the store has lost, and an error for one
// that was cut short: never fewer bytes than were promised.
func TestOriginalGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept, _, _ := osStore(t, dir)
	h := handler(dir)
	path := filepath.Join(dir, store.OriginalPath(kept.Digest))
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if resp := ask(h, "GET", "/v2/quay.io/os/blobs/"+kept.Digest.String()); resp.StatusCode != 500 {
		t.Errorf("cut short: status %d, want 500", resp.StatusCode)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if resp := ask(h, "GET", "/v2/quay.io/os/blobs/"+kept.Digest.String()); resp.StatusCode != 404 {
		t.Errorf("gone: status %d, want 404", resp.StatusCode)
	}
}

// BenchmarkOriginal compares a layer of 300 MB out of serve with the same file copied into a
// loopback socket, which is what cat does.
func BenchmarkOriginal(b *testing.B) {
	const size = 300_000_000
	dir := b.TempDir()
	src := storetest.NewSource(b, bundle.Expanded)
	img := *src.Add(storetest.Image{Repository: "quay.io/os", Layers: [][]byte{make([]byte, size)}, Original: true})
	writeStore(b, dir, src, nil)
	path := filepath.Join(dir, store.OriginalPath(img.Layers[0].Digest))
	put(b, path, src.Registry(img.Layers[0].Digest))
	b.Run("serve", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- Serve(ctx, handler(dir), slog.New(slog.DiscardHandler), l) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		}()
		b.SetBytes(size)
		for b.Loop() {
			resp := do(b, "GET", "http://"+l.Addr().String()+"/v2/quay.io/os/blobs/"+img.Layers[0].Digest.String(), "")
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("cat", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if f, err := os.Open(path); err == nil {
					_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{f}, make([]byte, 128<<10))
					f.Close()
				}
				conn.Close()
			}
		}()
		b.SetBytes(size)
		for b.Loop() {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
				b.Fatal(n, err)
			}
			conn.Close()
		}
	})
}
