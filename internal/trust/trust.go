// Package trust reads the keys that bundles and the program are signed with, and signs.
package trust

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

// maxKey bounds a file of keys, in bytes.
const maxKey = 1 << 20

// ErrEmpty is returned by File.Set for a value without characters.
var ErrEmpty = errors.New("the value is empty: is a variable not set? Without the flag nothing is checked")

// File is the value of a flag that names a file by which something is checked. It
// refuses an empty name: `--key "$KEY"` with KEY not set must not turn the check off.
type File string

// String implements pflag.Value.
func (f *File) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *File) Set(s string) error {
	if strings.TrimSpace(s) == "" {
		return ErrEmpty
	}
	*f = File(s)
	return nil
}

// Type implements pflag.Value.
func (f *File) Type() string { return "string" }

// ParsePublicKeys returns the public keys in data, the content of the file at path. Errors are those
// of signature.ParsePublicKeys; in a *signature.KeyError, Fix names the file.
func ParsePublicKeys(path string, data []byte) (signature.Keys, error) {
	keys, err := signature.ParsePublicKeys(data)
	return keys, named(path, err)
}

// PrivateKey reads a private key from a file that somebody named. Errors are those of Once.ReadFile and
// signature.ParsePrivateKey, as ParsePublicKeys returns them.
func PrivateKey(ctx context.Context, path string) (crypto.Signer, error) {
	data, err := readNamed(ctx, path)
	if err != nil {
		return nil, err
	}
	key, err := signature.ParsePrivateKey(data)
	return key, named(path, err)
}

// plain is a path that a shell takes as it is.
var plain = regexp.MustCompile(`^[a-zA-Z0-9/._-]+$`)

// named puts the path into what a *signature.KeyError advises.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	var bad *signature.KeyError
	if errors.As(err, &bad) {
		quoted := path
		if !plain.MatchString(path) {
			quoted = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		}
		fixed := *bad
		if is := whatis.Of(path); is != "" && is != whatis.PEM && !strings.Contains(string(is), "key") {
			fixed.Found = string(is)
		}
		fixed.Fix = strings.ReplaceAll(bad.Fix, "FILE", quoted)
		err = &fixed
	}
	return fmt.Errorf("%s: %w", path, err)
}

// SignBundle signs the bundle at path, whole or in parts, which must have a valid
// inventory and every part, and returns the path of the signature beside it. An earlier
// signature is replaced in one step.
func SignBundle(ctx context.Context, path string, key crypto.Signer) (string, error) {
	out, sig, err := signBundle(ctx, path, key)
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteBytes(out, 0o644, sig); err != nil {
		return "", fmt.Errorf("signature: %w", err)
	}
	return out, nil
}

// PlanSignBundle says what SignBundle would write, and writes nothing.
func PlanSignBundle(ctx context.Context, path string, key crypto.Signer) (*dryrun.Plan, error) {
	out, sig, err := signBundle(ctx, path, key)
	if err != nil {
		return nil, err
	}
	plan := new(dryrun.Plan)
	do := "write"
	if _, err := os.Lstat(out); err == nil {
		do = "replace"
	}
	plan.Add(do, out, int64(len(sig)))
	return plan, nil
}

// signBundle returns the signature and the name that it gets.
func signBundle(ctx context.Context, path string, key crypto.Signer) (out string, sig []byte, err error) {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if out, err = signature.Path(path); err != nil {
		return "", nil, err
	}
	sig, err = signature.Sign(f.RawInventory(), key)
	return out, sig, err
}
