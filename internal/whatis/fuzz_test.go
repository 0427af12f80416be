package whatis

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// headers is a tar that begins with n headers of records that no member follows.
func headers(tb testing.TB, n int) []byte {
	tb.Helper()
	var one bytes.Buffer
	w := tar.NewWriter(&one)
	if err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": "x"}}); err != nil {
		tb.Fatal(err)
	}
	return bytes.Repeat(one.Bytes()[:1024], n)
}

// FuzzOf: any file is looked at in little memory, and a short one is not read for long.
func FuzzOf(f *testing.F) {
	packed := func(data []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		if _, err := z.Write(data); err != nil {
			f.Fatal(err)
		}
		if err := z.Close(); err != nil {
			f.Fatal(err)
		}
		return out.Bytes()
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, plain := range [][]byte{nil, []byte("x"), headers(f, 1), headers(f, 5<<10), make([]byte, 8<<20), memtest.Repeat(1<<20, "{", `"":{},`, "}")} {
		f.Add(packed(plain))
		f.Add(enc.EncodeAll(plain, nil))
		f.Add(plain[:min(len(plain), 1<<20)])
	}
	f.Add([]byte("-----BEGIN PUBLIC KEY-----"))
	f.Add([]byte("quay.io/a/b:1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, int64(len(data))+48<<20, func() {
			_, _, _ = Of(path), NoBundle(path), NoImages(path)
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			_ = NoList(file)
			_ = file.Close()
		})
	})
}

// TestHeadersWithoutEnd: a file of some kilobytes that unpacks to headers without a member is
// not unpacked whole.
func TestHeadersWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int64{"short": maxHead / 2, "long": 4 * maxHead} {
		r := &counted{data: headers(t, 1), left: limit}
		_ = ofTar(beginning(r), 1)
		if want := min(limit, maxHead); r.read < want || r.read > want+4096 {
			t.Errorf("%s: %d bytes of %d are read", name, r.read, limit)
		}
	}
}

// counted is data again and again, to a length.
type counted struct {
	data       []byte
	left, read int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[c.read%int64(len(c.data)):])
	n = int(min(int64(n), c.left))
	c.left, c.read = c.left-int64(n), c.read+int64(n)
	return n, nil
}
