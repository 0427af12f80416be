//go:build bench

package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// importInto runs nodeseal import into a new store, which it leaves, unsealed.
func (s *importSet) importInto(t testing.TB, target string, flags ...string) usage {
	t.Helper()
	program := os.Getenv("NODESEAL_BIN")
	testenv.Require(t, program != "", "the benchmark needs the program in NODESEAL_BIN")
	args := append([]string{"import", "--quiet", "--no-seal", "--store", target, s.bundle}, flags...)
	return measure(t, exec.Command(program, args...))
}

// viaSkopeo copies each image with a skopeo of its own, from the OCI layout to
// a containers-storage.
func (s *importSet) viaSkopeo(t testing.TB, root string) usage {
	t.Helper()
	program := testenv.NeedTool(t, "skopeo")
	var sum usage
	for i := range s.refs {
		sum = sum.plus(measure(t, exec.Command(program, "--insecure-policy", "copy", "-q",
			fmt.Sprintf("oci:%s:i%d", s.layout, i),
			fmt.Sprintf("containers-storage:[overlay@%s/root+%s/run]%s", root, root, localName(i)))))
	}
	return sum
}

func localName(i int) string { return fmt.Sprintf("localhost/bench:i%d", i) }

// The modes in which this test binary is started again, so that what a library
// takes can be measured as the programs are.
const (
	modeVar     = "NODESEAL_BENCH_MODE"
	modeLibrary = "library" // OCI layout, root of a storage, number of images
	modeFloor   = "floor"   // bundle
)

// again starts this test binary in a mode.
func again(t testing.TB, mode string, args ...string) usage {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), modeVar+"="+strings.Join(append([]string{mode}, args...), " "))
	return measure(t, cmd)
}

// runMode is what the test binary does in a mode.
func runMode(ctx context.Context, spec []string) error {
	switch {
	case len(spec) == 4 && spec[0] == modeLibrary:
		var images int
		if _, err := fmt.Sscan(spec[3], &images); err != nil {
			return err
		}
		return storeImages(ctx, spec[1], spec[2], images)
	case len(spec) == 2 && spec[0] == modeFloor:
		return decode(spec[1])
	}
	return fmt.Errorf("no such mode: %q", spec)
}

// storeImages copies images from an OCI layout to a containers-storage with
// copy.Image, one after another.
func storeImages(ctx context.Context, from, root string, images int) (err error) {
	st, err := storage.GetStore(storage.StoreOptions{
		GraphDriverName: "overlay", GraphRoot: filepath.Join(root, "root"), RunRoot: filepath.Join(root, "run"),
	})
	if err != nil {
		return err
	}
	defer func() {
		_, serr := st.Shutdown(true)
		err = errors.Join(err, serr)
	}()
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		return err
	}
	for i := range images {
		src, err := layout.NewReference(from, fmt.Sprintf("i%d", i))
		if err != nil {
			return err
		}
		dest, err := istorage.Transport.ParseStoreReference(st, localName(i))
		if err != nil {
			return err
		}
		opts := copy.Options{DestinationCtx: &types.SystemContext{BlobInfoCacheDir: filepath.Join(root, "cache")}}
		if _, err := copy.Image(ctx, policy, dest, src, &opts); err != nil {
			return fmt.Errorf("image %d: %w", i, err)
		}
	}
	return nil
}

// save writes all images that a containers-storage has into one archive.
func (s *importSet) save(t testing.TB, root, path string) {
	t.Helper()
	args := []string{"save", "--quiet", "--multi-image-archive", "-o", path}
	for i := range s.refs {
		args = append(args, localName(i))
	}
	measure(t, podman(t, root, args...))
}

// viaPodman loads an archive.
func viaPodman(t testing.TB, root, path string) usage {
	t.Helper()
	return measure(t, podman(t, root, "load", "--quiet", "-i", path))
}

func podman(t testing.TB, root string, args ...string) *exec.Cmd {
	t.Helper()
	run, err := os.MkdirTemp("/run", "bench-") // podman wants a short path here
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(run)) })
	global := []string{"--root", filepath.Join(root, "root"), "--runroot", run, "--storage-driver", "overlay"}
	return exec.Command(testenv.NeedTool(t, "podman"), append(global, args...)...)
}

// viaCp is the way of the field report: it copies a store that is there, and
// makes every file of it immutable. Nodes have a cp that shares no blocks unless it is
// told to (coreutils before 9).
func viaCp(t testing.TB, from, to string) usage {
	t.Helper()
	u := measure(t, exec.Command(testenv.NeedTool(t, "cp"), "-ar", "--reflink=never", from, to))
	// It complains of links and devices, which have no attributes.
	return u.plus(try(exec.Command(testenv.NeedTool(t, "chattr"), "-R", "-f", "+i", to)))
}

// release unmounts what the storage library mounted below the root of a storage.
func release(root string) {
	try(exec.Command("umount", filepath.Join(root, "root", "overlay")))
}

func hashAll(r io.Reader) error {
	buf := make([]byte, 1<<20)
	_, err := io.CopyBuffer(sha256.New(), struct{ io.Reader }{r}, buf)
	return err
}
