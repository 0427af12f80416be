package catalog

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle/compression"
)

const (
	// maxPlain bounds the plain tars of all layers together, in bytes.
	maxPlain = 32 << 30
	// maxFiles bounds the files of a catalog, and the names that its layers take away.
	maxFiles = 200_000
	// maxPath bounds the name of one, in bytes.
	maxPath = 1024
)

// The names by which a layer takes files of lower ones away.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// union reads the files below dir out of layers, from the uppermost down.
type union struct {
	catalog *Catalog
	dir     string
	plain   int64
	files   int
	// hidden are the names of files that an upper layer has or takes away, opaque the directories of which
	// it takes away all that lower ones have.
	hidden, opaque map[string]bool
}

// layer reads one, verified by its digest.
func (u *union) layer(ctx context.Context, src Source, repo string, d v1.Descriptor) error {
	return verified(ctx, src, repo, d, func(r io.Reader) error {
		plain, err := compression.NewReader(ctx, r)
		if err != nil {
			return err
		}
		defer plain.Close() //nolint:errcheck // of memory alone
		counted := &counter{r: plain, left: maxPlain - u.plain}
		err = u.tar(tar.NewReader(counted))
		u.plain = maxPlain - counted.left
		return err
	})
}

func (u *union) tar(r *tar.Reader) error {
	var gone, opaques []string // for the layers below this one
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := clean(h.Name)
		if !within(name, u.dir) && !within(u.dir, path.Dir(name)) || len(name) > maxPath {
			continue
		}
		base := path.Base(name)
		switch {
		case base == opaque:
			opaques = append(opaques, path.Dir(name))
			continue
		case strings.HasPrefix(base, whiteout):
			gone = append(gone, path.Join(path.Dir(name), strings.TrimPrefix(base, whiteout)))
			continue
		case !within(name, u.dir) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeLink:
			continue
		case u.isHidden(name):
			continue
		}
		u.hidden[name] = true
		if h.Typeflag == tar.TypeLink {
			u.catalog.lost = append(u.catalog.lost, fmt.Errorf("%s is a hard link to %s, which is not followed: what it has is not in the list", name, h.Linkname))
		}
		if err := u.read(name, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if u.files++; u.files+len(gone)+len(opaques) > maxFiles {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, maxFiles)
		}
	}
	for _, name := range gone {
		u.hidden[name] = true
	}
	for _, name := range opaques {
		u.opaque[name] = true
	}
	return nil
}

// isHidden reports whether an upper layer has the file, or took it away.
func (u *union) isHidden(name string) bool {
	if u.hidden[name] {
		return true
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if u.hidden[dir] || u.opaque[dir] {
			return true
		}
		if dir == "." || dir == "/" {
			return false
		}
	}
}

func (u *union) read(name string, r io.Reader) error {
	switch path.Ext(name) {
	case ".json":
		return u.catalog.ReadJSON(r)
	case ".yaml", ".yml":
		return u.catalog.ReadYAML(r)
	}
	return nil
}

// clean is a name of a tar or a label as it is compared.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// within reports whether name is dir or below it.
func within(name, dir string) bool {
	return dir == "." || dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

// counter is a reader of at most left bytes.
type counter struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("%w: layers of more than %d bytes", ErrTooLarge, int64(maxPlain))
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
