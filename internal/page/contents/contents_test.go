package contents_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page/contents"
	"github.com/nodeseal/nodeseal/internal/page/pagetest"
)

func write(t *testing.T, inv *bundle.Inventory) string {
	t.Helper()
	var b bytes.Buffer
	if err := contents.Write(&b, contents.Subject{Path: "rel.tar.zst", Size: 1 << 20, Inventory: inv, Made: madeby.Mark{Program: "v1"}}); err != nil {
		t.Fatal(err)
	}
	pagetest.Hold(t, b.String())
	return b.String()
}

// inventory has images "NAME CONFIG LAYER...", each layer with its name's length in KiB.
func inventory(images ...string) *bundle.Inventory {
	inv := &bundle.Inventory{Layers: bundle.Expanded}
	held := make(map[digest.Digest]bool)
	for _, text := range images {
		f := strings.Fields(text)
		img := bundle.Image{Ref: "r.example/" + f[0] + "@" + digest.FromString(f[0]).String(), Digest: digest.FromString(f[0]), Config: bundle.Config{Digest: digest.FromString(f[1])}}
		for _, l := range f[2:] {
			id, size := digest.FromString(l), int64(len(l))<<20
			img.Layers = append(img.Layers, bundle.Layer{Digest: digest.FromString("gz" + l), Size: size / 2, DiffID: id, DiffSize: size})
			if !held[id] {
				held[id] = true
				inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: id, Size: size, Kind: bundle.KindLayer})
			}
		}
		inv.Images = append(inv.Images, img)
	}
	return inv
}

// The sums of the page are those of the layers, each once; two references of one configuration are one image.
func TestSums(t *testing.T) {
	t.Parallel()
	text := write(t, inventory("one 1 shared aaaa", "two 2 shared bbbbbbbb", "again 1 shared aaaa", "covered 3 shared"))
	for _, want := range []string{
		`<b id="images">3</b>`, `<b id="layers">3</b>`, "<b>18.0 MiB</b> of layers", "<b>6.0 MiB</b> of them shared", "4 references",
		"Each layer is kept once: 18.0 MiB instead of 30.0 MiB.", "18.0 MiB in all, each layer once. Drawn by themselves: 2 images.",
		"1 more image is made of shared layers alone.", "also r.example/again@sha256:", "9.0 MiB in all", `>two: 8.0 MiB in 1 layer of its own</title>`,
		`in <a href="#shared">3 images</a>`, `data-v="12582912">12.0 MiB</td>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	// What is drawn has the areas of the bytes.
	areas := make(map[string]float64)
	for _, m := range regexp.MustCompile(`<figure class="(\w+ \w+)">(?s)(.*?)</figure>`).FindAllStringSubmatch(text, -1) {
		for _, r := range regexp.MustCompile(`<rect class="c" [^>]*width="([0-9.]+)" height="([0-9.]+)"`).FindAllStringSubmatch(m[2], -1) {
			w, _ := strconv.ParseFloat(r[1], 64)
			h, _ := strconv.ParseFloat(r[2], 64)
			areas[m[1]] += w * h
		}
	}
	for name, want := range map[string]float64{"wide plain": 1200 * 640, "wide packed": 1200 * 640, "narrow plain": 360 * 480, "narrow packed": 360 * 480} {
		if got := areas[name]; got < .999*want || got > 1.001*want {
			t.Errorf("%s: the cells have the area %g, want %g", name, got, want)
		}
	}
}

// What other people chose is text in the page.
func TestHostile(t *testing.T) {
	t.Parallel()
	inv := inventory("one 1 shared a", "two 2 shared b")
	img := &inv.Images[0]
	img.Ref, img.Names, img.Role = "r.example/"+pagetest.Hostile, []string{pagetest.Hostile}, pagetest.Hostile
	img.From = []bundle.Origin{{Source: "release", Name: "4.1 " + pagetest.Hostile}}
	inv.Release = &bundle.Release{Version: pagetest.Hostile}
	var b bytes.Buffer
	if err := contents.Write(&b, contents.Subject{Path: pagetest.Hostile, Inventory: inv, Made: madeby.Mark{Program: "v1"}}); err != nil {
		t.Fatal(err)
	}
	pagetest.Hold(t, b.String())
	if !strings.Contains(b.String(), "&lt;script&gt;") {
		t.Error("the name is not in the page")
	}
}

// Without plain sizes, as with original layers, there is one picture; without images none.
func TestWithout(t *testing.T) {
	t.Parallel()
	inv := inventory("one 1 shared a", "two 2 shared b")
	inv.Layers, inv.Blobs = bundle.Original, nil
	for i := range inv.Images {
		for j := range inv.Images[i].Layers {
			inv.Images[i].Layers[j].DiffSize = 0
		}
	}
	if text := write(t, inv); strings.Contains(text, `class="wide plain"`) || !strings.Contains(text, `class="wide packed"`) || strings.Contains(text, "as-plain") != strings.Contains(text, "#as-plain") {
		t.Error("a picture of sizes that are not known")
	}
	if text := write(t, &bundle.Inventory{Layers: bundle.Expanded}); strings.Contains(text, "<svg") || !strings.Contains(text, "There is no image in it.") {
		t.Error("a picture of nothing")
	}
}

// Of images with many layers, and of many images, a page is bounded in what it draws and in bytes.
func TestLarge(t *testing.T) {
	for _, tc := range []struct{ images, layers, most int }{{250, 30, 4 << 20}, {3000, 2, 4 << 20}} {
		t.Run(fmt.Sprint(tc.images), func(t *testing.T) {
			inv := pagetest.Inventory(tc.images, tc.layers, 4)
			var n counter
			if err := contents.Write(&n, contents.Subject{Path: "x", Inventory: inv}); err != nil {
				t.Fatal(err)
			}
			if n.bytes > tc.most || n.rects > 20_000 {
				t.Errorf("the page has %d bytes and %d rectangles", n.bytes, n.rects)
			}
			t.Logf("%d images: %d bytes, %d rectangles", tc.images, n.bytes, n.rects)
		})
	}
}

type counter struct{ bytes, rects int }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.rects += bytes.Count(p, []byte("<rect"))
	return len(p), nil
}

// The same inventory gives the same page.
func TestSame(t *testing.T) {
	t.Parallel()
	first, second := write(t, pagetest.Inventory(50, 6, 1)), write(t, pagetest.Inventory(50, 6, 1))
	if first != second {
		t.Error("two pages of one inventory differ")
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteError(t *testing.T) {
	t.Parallel()
	if err := contents.Write(io.Writer(full{}), contents.Subject{Inventory: inventory("one 1 a")}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
