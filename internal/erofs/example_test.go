package erofs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	goerofs "github.com/erofs/go-erofs"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

// Two files share one content.
func Example() {
	image, spool := &memory{}, &memory{} // files, elsewhere
	b, err := erofs.New(image, erofs.Options{
		Spool: spool,
		UUID:  erofs.UUIDOf([]byte("what the image is made of")),
		Root:  erofs.Attr{Mode: 0o755},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	text := "the same bytes\n"
	content, err := b.Reserve(int64(len(text)), 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := b.NewWriter()
	dir, dirErr := b.Dir(erofs.Root, "etc", erofs.Attr{Mode: 0o755})
	_, oneErr := b.File(dir, "one", erofs.Attr{Mode: 0o644}, content)
	_, twoErr := b.File(dir, "two", erofs.Attr{Mode: 0o600, UID: 1000}, content)
	err = errors.Join(w.Copy(content, strings.NewReader(text)), w.Flush(), dirErr, oneErr, twoErr)
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := b.Finish(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fsys, err := goerofs.Open(image)
	if err != nil {
		fmt.Println(err)
		return
	}
	two, err := fs.ReadFile(fsys, "etc/two")
	fmt.Printf("%d inodes in %d bytes, etc/two is %q, %v\n", made.Inodes, made.Size, two, err)
	// Output: 4 inodes in 8192 bytes, etc/two is "the same bytes\n", <nil>
}
