package erofs_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	attr := erofs.Attr{Mode: 0o644}
	b, _ := builder(t, withSpool(t))
	file, err := b.File(erofs.Root, "file", attr, 0)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := b.Dir(erofs.Root, "dir", attr)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "dot": ".", "dot dot": "..", "slash": "a/b", "NUL": "a\x00", "long": strings.Repeat("x", 256),
	} {
		_, dirErr := b.Dir(erofs.Root, bad, attr)
		_, fileErr := b.File(erofs.Root, bad, attr, 0)
		_, linkErr := b.Symlink(erofs.Root, bad, attr, "x")
		_, devErr := b.Special(erofs.Root, bad, attr, erofs.FIFO, erofs.Dev{})
		for _, err := range []error{dirErr, fileErr, linkErr, devErr, b.Link(erofs.Root, bad, file)} {
			if !errors.Is(err, erofs.ErrName) {
				t.Errorf("%s: %v, want ErrName", name, err)
			}
		}
	}
	add := func(a erofs.Attr) error { _, err := b.File(sub, "x", a, 0); return err }
	special := func(kind erofs.Special, dev erofs.Dev) error {
		_, err := b.Special(sub, "x", attr, kind, dev)
		return err
	}
	target := func(s string) error { _, err := b.Symlink(sub, "x", attr, s); return err }
	below := func(n erofs.Node) error { _, err := b.Dir(n, "x", attr); return err }
	content := func(c erofs.Content) error { _, err := b.File(sub, "x", attr, c); return err }
	xattr := func(name string, size int) error {
		return add(erofs.Attr{Xattrs: map[string]string{name: strings.Repeat("v", size)}})
	}
	for name, test := range map[string]struct{ got, want error }{
		"mode":              {add(erofs.Attr{Mode: 0o100644}), erofs.ErrAttr},
		"major":             {special(erofs.CharDevice, erofs.Dev{Major: 4096}), erofs.ErrAttr},
		"minor":             {special(erofs.BlockDevice, erofs.Dev{Minor: 1 << 20}), erofs.ErrAttr},
		"number of a FIFO":  {special(erofs.FIFO, erofs.Dev{Minor: 1}), erofs.ErrAttr},
		"kind":              {special(typeReg, erofs.Dev{}), erofs.ErrAttr},
		"no target":         {target(""), erofs.ErrAttr},
		"long target":       {target(strings.Repeat("x", 4096)), erofs.ErrAttr},
		"target with a NUL": {target("a\x00b"), erofs.ErrAttr},
		"parent is a file":  {below(file), erofs.ErrNode},
		"no such parent":    {below(1000), erofs.ErrNode},
		"link to directory": {b.Link(erofs.Root, "x", sub), erofs.ErrNode},
		"link to nothing":   {b.Link(erofs.Root, "x", 1000), erofs.ErrNode},
		"no such content":   {content(1000), erofs.ErrContent},
		"namespace":         {xattr("system.other", 1), erofs.ErrXattr},
		"lustre":            {xattr("lustre.lov", 1), erofs.ErrXattr},
		"name of an ACL":    {xattr("system.posix_acl_access.x", 1), erofs.ErrXattr},
		"no namespace":      {xattr("user", 1), erofs.ErrXattr},
		"no name":           {xattr("user.", 1), erofs.ErrXattr},
		"long name":         {xattr("user."+strings.Repeat("n", 256), 1), erofs.ErrXattr},
		"NUL in a name":     {xattr("user.a\x00", 1), erofs.ErrXattr},
		"long value":        {xattr("user.a", 1<<16), erofs.ErrXattr},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	if _, err := b.Finish(context.Background()); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts erofs.Options
		want error
	}{
		"volume": {erofs.Options{Volume: "sixteen bytes..."}, erofs.ErrAttr},
		"mode":   {erofs.Options{Root: erofs.Attr{Mode: 1 << 12}}, erofs.ErrAttr},
		"xattr":  {erofs.Options{Root: erofs.Attr{Xattrs: map[string]string{"x": ""}}}, erofs.ErrXattr},
	} {
		if _, err := erofs.New(nil, test.opts); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestSameNameTwice(t *testing.T) {
	t.Parallel()
	b, image := builder(t, withSpool(t))
	parent := erofs.Root
	for _, name := range []string{"a", "b", "a"} {
		var err error
		if parent, err = b.Dir(parent, name, erofs.Attr{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := b.File(parent, "twin", erofs.Attr{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Finish(context.Background())
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), `"twin" in "/a/b/a"`) {
		t.Errorf("error %v, want fs.ErrExist and the place", err)
	}
	if st, err := image.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("a refused tree wrote %d bytes: %v", st.Size(), err)
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	b, _ := builder(t, withSpool(t))
	finish(t, b)
	_, finishErr := b.Finish(context.Background())
	_, dirErr := b.Dir(erofs.Root, "x", erofs.Attr{})
	_, fileErr := b.File(erofs.Root, "x", erofs.Attr{}, 0)
	_, reserveErr := b.Reserve(1, 1)
	for _, err := range []error{finishErr, dirErr, fileErr, reserveErr, b.Link(erofs.Root, "x", 0)} {
		if !errors.Is(err, erofs.ErrFinished) {
			t.Errorf("error %v, want ErrFinished", err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b, _ := builder(t, withSpool(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// full is a file on a full disk.
type full struct{ after int64 }

var errFull = errors.New("no space")

func (f full) WriteAt(p []byte, off int64) (int, error) {
	if off >= f.after {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	for _, after := range []int64{0, erofs.BlockSize} {
		b, err := erofs.New(full{after: after}, erofs.Options{BuildTime: time.Unix(1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		w := b.NewWriter()
		err = w.Copy(reserve(t, b, 100), strings.NewReader(strings.Repeat("x", 100)))
		if err := errors.Join(err, w.Flush()); !errors.Is(err, errFull) {
			t.Errorf("write of a content: %v", err)
		}
		if _, err := b.Finish(context.Background()); !errors.Is(err, errFull) {
			t.Errorf("Finish: %v", err)
		}
	}
}
