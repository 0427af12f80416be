// Package successor has the program of a stick do what this program is too old for.
//
// The program of a stick is run only if a key of the node signed it, and only if it is a later
// release than this one: a signature says who made a program, not when. What is checked is a
// copy in memory that cannot be changed afterwards, and that copy is what runs.
package successor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// Installed is the environment variable in which a successor finds the version of the program
// that it took over from. It stays as it is: programs of different versions read it.
const Installed = "NODESEAL_INSTALLED"

const (
	// maxSignature is more than a signature has, in bytes.
	maxSignature = 4 << 10
	// askTime is how long the program may take to say its version.
	askTime = time.Minute
	// maxAnswer bounds what it says, in bytes.
	maxAnswer = 4 << 10
)

var (
	// ErrNoKey reports a node without a key to check a program with.
	ErrNoKey = errors.New("this node has no key to check the program of the stick with")
	// ErrNoProgram reports a stick without a program that a key of the node signed.
	ErrNoProgram = errors.New("the stick has no program that this node runs")
	// ErrNotLater reports a program that is no later release than this one.
	ErrNotLater = errors.New("the program of the stick is no later release")
	// ErrUnknown reports two programs of which one is no release: which is later is not known.
	ErrUnknown = errors.New("which program is later is not known")
)

// Program is a copy of the program of a stick, which a key of the node signed. It is for one
// goroutine.
type Program struct {
	// Version is what it says of itself.
	Version string

	from string // the version of this program
	copy *os.File
}

// Find copies the program of the stick at dir, and checks that one of the keys signed it and
// that it is a later release than version, which is this program's. Errors wrap ErrNoKey,
// ErrNoProgram, ErrNotLater, ErrUnknown or signature.ErrMismatch, or are those of reading the stick. The caller calls
// Close.
func Find(ctx context.Context, dir, version string, keys signature.Keys) (p *Program, err error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the stick: %w", err)
	}
	defer root.Close()
	p = &Program{from: version}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	sig, err := root.ReadFile(carry.ProgramSignature, maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("%w: there is no %s", ErrNoProgram, carry.ProgramSignature)
	}
	if err != nil {
		return p, fmt.Errorf("signature of the program: %w", err)
	}
	in, err := root.Open(carry.Program)
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("%w: there is no %s", ErrNoProgram, carry.Program)
	}
	if err != nil {
		return p, fmt.Errorf("program of the stick: %w", err)
	}
	defer in.Close()
	if p.copy, err = sealed(in); err != nil {
		return p, fmt.Errorf("copying the program of the stick: %w", err)
	}
	if err := checked(p.copy, keys, sig); err != nil {
		return p, err
	}
	if p.Version, err = p.ask(ctx); err != nil {
		return p, fmt.Errorf("asking the program of the stick for its version: %w", err)
	}
	return p, later(p.Version, version)
}

// Close gives the copy up.
func (p *Program) Close() {
	if p.copy != nil {
		_ = p.copy.Close() // it was read
	}
}

// Run goes on as the program, in this process and with its arguments. It returns only an error.
func (p *Program) Run() error {
	path := fmt.Sprintf("/proc/self/fd/%d", p.copy.Fd())
	err := unix.Exec(path, os.Args, append(os.Environ(), Installed+"="+p.from))
	return fmt.Errorf("starting the program of the stick: %w", os.NewSyscallError("execve", err))
}

// sealed copies a file into memory that no process can change afterwards.
func sealed(in io.Reader) (out *os.File, err error) {
	const name = "nodeseal-of-stick"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 each may be executed
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	out = os.NewFile(uintptr(fd), name)
	n, err := io.Copy(out, io.LimitReader(in, carry.MaxProgram+1))
	if err == nil && n > carry.MaxProgram {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrNoProgram, int64(carry.MaxProgram))
	}
	if err == nil {
		_, err = unix.FcntlInt(out.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
		err = os.NewSyscallError("fcntl", err)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// checked wants a program that one of the keys signed. The keys sign inventories, too: one of
// these is no program.
func checked(f *os.File, keys signature.Keys, sig []byte) (err error) {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("program of the stick: %w", err)
	}
	if info.Size() == 0 {
		return fmt.Errorf("%w: %s is empty", ErrNoProgram, carry.Program)
	}
	// The copy is in memory already: no second one.
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("program of the stick: %w", os.NewSyscallError("mmap", err))
	}
	defer func() { err = errors.Join(err, unix.Munmap(data)) }()
	if !strings.HasPrefix(string(data[:min(4, len(data))]), "\x7fELF") {
		return fmt.Errorf("%w: %s is not a program", ErrNoProgram, carry.Program)
	}
	if err := keys.Check(data, sig); err != nil {
		return fmt.Errorf("%s: %w", carry.ProgramSignature, err)
	}
	return nil
}

// answer is what the program prints.
var answer = regexp.MustCompile(`^nodeseal version (\S+)\n$`)

// ask returns the version that the copy says it has.
func (p *Program) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3", "--version") // the first of ExtraFiles
	cmd.Args[0] = carry.Program
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{p.copy}
	out := &bounded{left: maxAnswer}
	cmd.Stdout = out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("it did not answer within %s: %w", askTime, context.Cause(ctx))
	}
	if errors.As(err, new(*exec.ExitError)) || errors.Is(err, unix.ENOEXEC) {
		return "", fmt.Errorf("%w: %w", ErrNoProgram, err)
	}
	if err != nil { // the system refused to start it
		return "", err
	}
	m := answer.FindStringSubmatch(out.String())
	if m == nil {
		return "", fmt.Errorf("%w: it answers %.100q", ErrNoProgram, out.String())
	}
	return m[1], nil
}

// bounded keeps the beginning of what is written.
type bounded struct {
	strings.Builder
	left int
}

// Write implements io.Writer.
func (b *bounded) Write(data []byte) (int, error) {
	keep := min(b.left, len(data))
	b.left -= keep
	b.Builder.Write(data[:keep])
	return len(data), nil
}
