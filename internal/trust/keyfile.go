package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// Once keeps what named files have. A pipe, as a shell's <(...) is, can be read only once, and a
// command may want its keys for several bundles. It may be used by many goroutines at the same time.
type Once struct {
	mu    sync.Mutex
	files map[string][]byte
}

// ReadFile returns the content of the file of keys at path, which somebody named: also of a pipe or
// a device, which ctx ends. A nil Once keeps nothing. Errors are those of os.Open and
// ctx, or a *signature.KeyError.
func (o *Once) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if o == nil {
		return readNamed(ctx, path)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if data, ok := o.files[path]; ok {
		return data, nil
	}
	data, err := readNamed(ctx, path)
	if err != nil {
		return nil, err
	}
	if o.files == nil {
		o.files = make(map[string][]byte)
	}
	o.files[path] = data
	return data, nil
}

// readNamed reads a file until ctx ends: opening a pipe waits for its writer, and no deadline of a file
// ends that. The goroutine that waits is left behind then.
func readNamed(ctx context.Context, path string) ([]byte, error) {
	type content struct {
		data []byte
		err  error
	}
	done := make(chan content, 1)
	go func() {
		data, err := readAll(path)
		done <- content{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("reading %s: %w", path, ctx.Err())
	case c := <-done:
		return c.data, c.err
	}
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxKey {
		return nil, tooLong(path)
	}
	return data, nil
}

// readNode reads the node's own file of keys: a regular one, or a link to one.
func readNode(path string) ([]byte, error) {
	is, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	data, err := safefile.ReadFile(is, maxKey)
	if errors.Is(err, safefile.ErrTooLarge) {
		return nil, tooLong(path)
	}
	return data, err
}

func tooLong(path string) error {
	return named(path, &signature.KeyError{Found: fmt.Sprintf("a file of more than %d bytes", maxKey), Want: "keys in PEM"})
}
