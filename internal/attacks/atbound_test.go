//go:build attacks

package attacks

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/split"
)

// TestMostParts has bundles in as many parts as they may have, whose list is as long as it may be.
func TestMostParts(t *testing.T) {
	path := longInventory(t, 5_000, 0)
	whole, err := os.ReadFile(path)
	must(t, err)
	name := strings.Repeat("x", 230) + ".tar.zst"
	for _, c := range []struct {
		name, says      string
		parts, size     int
		exit            int
		command, before string
	}{
		{"1,000 parts, a list of 1 MiB", "", split.MaxParts, 1 << 20, 0, "verify", "not tried"},
		{"1,000 parts, a list of 1 MiB and a byte", "more than 1048576 bytes", split.MaxParts, 1<<20 + 1, 4, "inspect", "not tried"},
		{"1,001 parts", "1001 parts", split.MaxParts + 1, 1 << 20, 4, "inspect", "not tried"},
	} {
		dir := t.TempDir()
		list := split.List{Format: split.FormatV1, Name: name, Size: int64(len(whole)), SHA256: digest.FromBytes(whole)}
		for i := range c.parts {
			data := whole[i*len(whole)/c.parts : (i+1)*len(whole)/c.parts]
			p := split.Part{Name: split.PartName(name, i), Size: int64(len(data)), SHA256: digest.FromBytes(data)}
			must(t, os.WriteFile(filepath.Join(dir, p.Name), data, 0o600))
			list.Parts = append(list.Parts, p)
		}
		data, err := json.Marshal(list)
		must(t, err)
		data = append(data, bytes.Repeat([]byte(" "), c.size-len(data))...)
		must(t, os.WriteFile(filepath.Join(dir, name+split.Suffix), data, 0o600))
		attack{Name: "records: a bundle of " + c.name + ": " + c.command, Before: c.before, Exit: c.exit, Says: c.says}.run(t, c.command, filepath.Join(dir, name))
	}
}

// TestMostFrames has bundles of as many frames as they may have. To verify them takes ten seconds.
func TestMostFrames(t *testing.T) {
	for _, c := range []struct {
		name, says string
		more, exit int
		commands   []string
	}{
		{"1,048,576 entries", "", 0, 0, []string{"inspect", "verify"}},
		{"1,048,577 entries", "bundle is damaged", 1, 4, []string{"inspect"}},
	} {
		if c.more > 0 && !*large {
			continue
		}
		r := newRelease(bundle.Expanded, 64)
		r.frames = seekable.MaxFrames + c.more
		r.add(t, zeros(t, "file", 64<<20-72<<10), nil, 0)
		path := r.write(t)
		for _, command := range c.commands {
			if command == "verify" && !*large {
				continue
			}
			attack{Name: "records: a seek table of " + c.name + ": " + command, Before: "not tried", Exit: c.exit, Says: c.says}.run(t, command, path)
		}
	}
}

// TestLongestResult has results of a node on a stick as long as they are read, and longer.
func TestLongestResult(t *testing.T) {
	const most = 512 << 10
	for _, c := range []struct {
		name string
		size int
	}{{"512 KiB", most}, {"512 KiB and a byte", most + 1}, {"1 TiB", 1 << 40}} {
		dir := t.TempDir()
		emptyBundle(t, filepath.Join(dir, "x.tar.zst"))
		result := filepath.Join(dir, "result-n.txt")
		must(t, os.WriteFile(result, bytes.Repeat([]byte("of before\n"), most/10), 0o600))
		must(t, os.Truncate(result, int64(c.size)))
		_, slots := disk(t)
		attack{
			Name: "stick: a result of " + c.name + ": import-stick", Before: "not tried",
			After: func(t *testing.T, _ outcome) {
				info, err := os.Stat(result)
				must(t, err)
				if kept := info.Size() > most/4; info.Size() > most*3/4 || kept != (c.size == most) {
					t.Errorf("%d bytes are left", info.Size())
				}
			},
		}.run(t, append([]string{"import-stick", dir, "--node", "n"}, slots...)...)
	}
}

// TestLongestRecords has records of a slot as long as they are read, with as many images as they may
// have, and longer.
func TestLongestRecords(t *testing.T) {
	image := func(i int) string {
		return fmt.Sprintf(`,{"id":"%064x","digest":%q,"names":["registry.example.com/a/b:v%d"],"layer":"%064x","created":"2026-01-02T03:04:05Z"}`, i, number(i), i, i)
	}
	a, flags := filledSlots(t)
	path := filepath.Join(a, "overlay-images/images.json")
	old, err := os.ReadFile(path)
	must(t, err)
	images := document{before: strings.TrimSuffix(strings.TrimSpace(string(old)), "]"), after: "]", size: 32 << 20, each: image}
	layers := document{before: "[" + image(0)[1:], after: "]", size: 32 << 20, each: func(i int) string {
		return fmt.Sprintf(`,{"id":"%064x","parent":"%064x","created":"2026-01-02T03:04:05Z","diff-digest":%q,"diff-size":1}`, i+1, i, number(i))
	}}
	for _, c := range []struct {
		name, file string
		document
	}{{"images.json of 32 MiB of images", "overlay-images/images.json", images}, {"layers.json of 32 MiB of layers", "overlay-layers/layers.json", layers}} {
		path := filepath.Join(a, c.file)
		old, err := os.ReadFile(path)
		must(t, err)
		c.document.put(t, path)
		attack{Name: "slot: " + c.name + ": status", Before: "not tried", Exit: 4}.run(t, append([]string{"status"}, flags...)...)
		attack{Name: "slot: " + c.name + ": verify", Before: "not tried", Exit: 4}.run(t, "verify", a)
		c.document.longer().put(t, path)
		attack{Name: "slot: " + filepath.Base(c.file) + " of 32 MiB and a byte: status", Before: "not tried", Exit: 4, Says: "at most 33554432"}.run(t, append([]string{"status"}, flags...)...)
		must(t, os.WriteFile(path, old, 0o600))
	}
	state := filepath.Join(filepath.Dir(a), "state.json")
	slots := document{before: `{"x":{}`, after: "}", size: 1 << 20, each: func(i int) string { return fmt.Sprintf(`,"%07d":{}`, i) }}
	slots.put(t, state)
	attack{Name: "slot: state.json of 1 MiB: status", Before: "not tried", Exit: 4}.run(t, append([]string{"status"}, flags...)...)
	slots.longer().put(t, state)
	attack{Name: "slot: state.json of 1 MiB and a byte: status", Before: "not tried", Exit: 4}.run(t, append([]string{"status"}, flags...)...)
}

// TestLongestNames has a layer, and its file table, of names as long as they may be.
func TestLongestNames(t *testing.T) {
	for _, c := range []struct {
		name, says string
		last, exit int
	}{{"4,095 bytes", "", 75, 0}, {"4,096 bytes", "REFUSED", 76, 4}} {
		r := newRelease(bundle.Expanded, seekable.FrameSize)
		r.add(t, members(t, 4_000, func(i int, h *tar.Header) {
			h.Name = strings.Repeat(strings.Repeat("d", 200)+"/", 20) + fmt.Sprintf("%0*d", c.last, i)
			h.Format = tar.FormatPAX
		}), nil, 0)
		attack{Name: "records: a file table of 4,000 names of " + c.name + ": verify", Before: "not tried", Exit: c.exit, Says: c.says}.run(t, "verify", r.write(t))
	}
}

// TestMostNames imports as many names as the records of a store have place for, and of one image as
// many as it may have. To find an image by one of its names, the storage library copies all of them.
func TestMostNames(t *testing.T) {
	const most = 41_500
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	each := 9_999
	for left, i := most, 0; left > 0; i++ {
		r.add(t, zeros(t, "file", 1<<20), nil, i) // of different configurations
		img := &r.inv.Images[i]
		for range min(each, left) {
			left--
			img.Names = append(img.Names, fmt.Sprintf("registry.example/%s/image:v%d", strings.Repeat("a", 192), left))
		}
		each = 999
	}
	path := r.write(t)
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	const name = "records: 41,500 names, 16 MiB of references, an image with 10,000 of them: "
	attack{Name: name + "import", Before: "not tried"}.run(t, "import", path, "--no-seal", "--store", store)
	attack{Name: name + "verify of the store", Before: "not tried"}.run(t, "verify", store)
	attack{Name: name + "serve", Before: "not tried"}.hold(t, serve(t, store, func(string) {}))
	if *large {
		attack{Name: name + "inspect of the store", Before: "not tried"}.run(t, "inspect", store)
		attack{Name: name + "import into an image", Before: "not tried"}.run(t, "import", path, "--image-out", filepath.Join(dir, "x.erofs"))
	}
}
