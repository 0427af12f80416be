package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// Bundle says whose signature a bundle must have. The zero value asks for one of the
// keys of the node, if the node has any.
type Bundle struct {
	// Key names a file of keys, in the place of the node's.
	Key File
	// Insecure takes a bundle without a look at its signature.
	Insecure bool
	// Public, if it is not nil, are keys in the place of all files.
	Public signature.Keys
	// Once, if it is not nil, has Key's file read only once.
	Once *Once
}

// ErrBoth is returned if a key is named and no key is asked for.
var ErrBoth = errors.New("a key, and no look at the signature, cannot both be asked for")

// KeysError reports that the file of keys at Path cannot be used; Err says which it is. Named says that
// it was named, and is not the node's own.
type KeysError struct {
	Path  string
	Named bool
	Err   error
}

// Error implements error.
func (e *KeysError) Error() string {
	if e.Named {
		return fmt.Sprintf("reading the key: %v", e.Err)
	}
	return fmt.Sprintf("reading the key of this node: %v", e.Err)
}

// Unwrap returns the cause.
func (e *KeysError) Unwrap() error { return e.Err }

// Keys returns the keys, one of which must have signed, and the file that they are
// from; nil and "" if no signature is asked for. The node is the one whose root is at
// sysroot, "" for this one. If its file of keys is there and cannot be read, that is an
// error, a *KeysError: no bundle is taken.
func (b Bundle) Keys(ctx context.Context, sysroot string) (signature.Keys, string, error) {
	if b.Insecure {
		if b.Key != "" {
			return nil, "", ErrBoth
		}
		return nil, "", nil
	}
	if b.Public != nil {
		return b.Public, "", nil
	}
	var data []byte
	var err error
	path := string(b.Key)
	if path != "" {
		data, err = b.Once.ReadFile(ctx, path)
	} else {
		path = filepath.Join("/", sysroot, machine.KeyFile)
		// A link that leads nowhere is there, and cannot be read.
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, "", nil
		}
		data, err = readNode(path)
	}
	var keys signature.Keys
	if err == nil {
		keys, err = ParsePublicKeys(path, data)
	}
	if err != nil {
		return nil, path, &KeysError{Path: path, Named: b.Key != "", Err: err}
	}
	return keys, path, nil
}
