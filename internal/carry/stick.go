package carry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// MaxProgram bounds the program, in bytes: who runs it from a stick has it in memory.
const MaxProgram = 128 << 20

// items are all files but the bundle and the sums. The caller calls closeAll.
func (f *filler) items(opts Options, base string, src *archive.File, res *Result) (items []item, closeAll func(), err error) {
	if res.Keys, err = opts.Keys.Fingerprints(); err != nil {
		return nil, nil, err
	}
	sig, err := bundleSignature(base, src.RawInventory(), opts)
	if err != nil {
		return nil, nil, err
	}
	program, err := os.Open(opts.Program)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the program: %w", err)
	}
	closeAll = func() { _ = program.Close() } // read only
	defer func() {
		if err != nil {
			_ = program.Close() // read only
		}
	}()
	data, err := io.ReadAll(io.LimitReader(program, MaxProgram+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the program: %w", err)
	}
	if len(data) > MaxProgram {
		return nil, nil, fmt.Errorf("%s: more than %d bytes are no program", opts.Program, MaxProgram)
	}
	sum := sha256.Sum256(data)
	res.ProgramSHA256 = hex.EncodeToString(sum[:])
	programSig, err := programSignature(data, opts)
	if err != nil {
		return nil, nil, err
	}
	items = []item{
		{name: Program, perm: 0o755, size: int64(len(data)), from: program},
		contentItem(Script, 0o755, machine.InstallScript()),
	}
	for _, c := range opts.Config {
		items = append(items, contentItem(path.Join("config", c.Name), 0o644, c.Content))
	}
	if res.Signed = sig != nil; res.Signed {
		items = append(items, contentItem(res.Bundle+signature.Suffix, 0o644, sig))
	}
	if res.ProgramSigned = programSig != nil; res.ProgramSigned {
		items = append(items, contentItem(ProgramSignature, 0o644, programSig))
	} else if len(opts.Keys) > 0 {
		f.progress.Warn("the program on the stick is not signed: nodes that have the key do not install it; name the private key with --sign-key")
	}
	html, text, err := renderPages(src.Inventory(), res, len(opts.Config) > 0, opts.madeFrom(res.Bundle, src.RawInventory(), src.Inventory()))
	if err != nil {
		return nil, nil, err
	}
	return append(items, contentItem(PageFile, 0o644, html), contentItem(TextFile, 0o644, text)), closeAll, nil
}

// bundleSignature returns the signature beside the bundle at base, nil if there is
// none. If there are keys, one must have made it.
func bundleSignature(base string, rawInventory []byte, opts Options) ([]byte, error) {
	sig, err := readSmall(base + signature.Suffix)
	if err != nil || opts.Insecure || len(opts.Keys) == 0 {
		return sig, err
	}
	if sig == nil {
		return nil, fmt.Errorf("%s: %w, and the nodes would refuse it", base, ErrUnsigned)
	}
	if err := opts.Keys.Check(rawInventory, sig); err != nil {
		return nil, trust.Mismatch(base+signature.Suffix, err, opts.KeysFile)
	}
	return sig, nil
}

// programSignature signs the program, or returns the signature beside it; nil if there
// is neither. If there are keys, one must have made it.
func programSignature(program []byte, opts Options) (sig []byte, err error) {
	if opts.SignKey != nil {
		sig, err = signature.Sign(program, opts.SignKey)
	} else {
		sig, err = readSmall(opts.Program + signature.Suffix)
	}
	if err != nil || sig == nil || len(opts.Keys) == 0 {
		return sig, err
	}
	if err := opts.Keys.Check(program, sig); err != nil {
		return nil, trust.Mismatch("signature of the program", err, opts.KeysFile)
	}
	return sig, nil
}

// readSmall reads a signature; nil where there is none.
func readSmall(name string) ([]byte, error) {
	data, err := safefile.ReadFile(name, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	return data, nil
}
