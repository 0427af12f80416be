//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/reexec"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// usage is what a command took.
type usage struct {
	wall, cpu time.Duration
	memory    int64 // resident at most, in bytes
}

func (u usage) String() string {
	return fmt.Sprintf("wall %6.2fs  cpu %6.2fs  %4d MiB", u.wall.Seconds(), u.cpu.Seconds(), u.memory>>20)
}

func (u usage) plus(o usage) usage {
	return usage{u.wall + o.wall, u.cpu + o.cpu, max(u.memory, o.memory)}
}

// measure runs a command.
func measure(t testing.TB, cmd *exec.Cmd) usage {
	t.Helper()
	u, out, err := run(cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return u
}

// try runs a command that may fail.
func try(cmd *exec.Cmd) usage {
	u, _, _ := run(cmd)
	return u
}

func run(cmd *exec.Cmd) (usage, []byte, error) {
	debug.FreeOSMemory() // what this process holds when it forks counts as the command's peak
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return usage{}, out, err
	}
	u := usage{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.memory = r.Maxrss << 10
	}
	return u, out, err
}

// serve serves a corpus and writes its list and registries.conf to dir.
func serve(t testing.TB, c *corpus, dir string) string {
	t.Helper()
	addr, stop, err := (&testregistry.Registry{Content: c.content}).Serve()
	check(t, err)
	t.Cleanup(stop)
	var list strings.Builder
	for _, ref := range c.refs {
		list.WriteString("registry.example/" + ref + "\n")
	}
	check(t, os.WriteFile(filepath.Join(dir, "images.lst"), []byte(list.String()), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "registries.conf"), []byte(testregistry.RegistriesConf("registry.example", addr)), 0o644))
	return addr
}

// mirror runs nodeseal bundle from nothing and returns the size of the bundle.
func mirror(t testing.TB, dir string, flags ...string) (usage, int64) {
	t.Helper()
	cmd := mirrorCommand(t, dir, flags...)
	u := measure(t, cmd)
	info, err := os.Stat(mirrorOutput(dir))
	check(t, err)
	return u, info.Size()
}

func mirrorOutput(dir string) string { return filepath.Join(dir, "out.tar.zst") }

// mirrorCommand is nodeseal bundle with nothing in its work directory.
func mirrorCommand(t testing.TB, dir string, flags ...string) *exec.Cmd {
	t.Helper()
	program := os.Getenv("NODESEAL_BIN")
	testenv.Require(t, program != "", "the benchmark needs the program in NODESEAL_BIN")
	check(t, os.RemoveAll(filepath.Join(dir, "work")))
	return exec.Command(program, append([]string{"bundle", "--quiet", "--images", filepath.Join(dir, "images.lst"),
		"-o", mirrorOutput(dir), "--work", filepath.Join(dir, "work"), "--registries-conf", filepath.Join(dir, "registries.conf")}, flags...)...)
}

// skopeo copies the images one after another to one OCI layout.
func skopeo(t testing.TB, addr, dir string, refs []string) usage {
	t.Helper()
	program := testenv.NeedTool(t, "skopeo")
	check(t, os.RemoveAll(filepath.Join(dir, "skopeo")))
	var sum usage
	for i, ref := range refs {
		sum = sum.plus(measure(t, exec.Command(program, "--insecure-policy", "copy", "-q", "--src-tls-verify=false",
			"docker://"+addr+"/"+ref, fmt.Sprintf("oci:%s:i%d", filepath.Join(dir, "skopeo"), i))))
	}
	return sum
}

// copyVar makes this test binary copy images with containers/image: it names a
// file with the target and the references.
const copyVar = "NODESEAL_BENCH_COPY"

func TestMain(m *testing.M) {
	if reexec.Init() { // the storage library unpacks in processes of this program
		return
	}
	if spec := os.Getenv(modeVar); spec != "" {
		if err := runMode(context.Background(), strings.Fields(spec)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if file := os.Getenv(copyVar); file != "" {
		spec, err := os.ReadFile(file)
		if err == nil {
			err = copyImages(context.Background(), strings.Fields(string(spec)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// library copies the images one after another with copy.Image.
func library(t testing.TB, addr, dir string, refs []string) usage {
	t.Helper()
	target := filepath.Join(dir, "library")
	check(t, os.RemoveAll(target))
	cmd := exec.Command(os.Args[0])
	spec := []string{target}
	for _, ref := range refs {
		spec = append(spec, addr+"/"+ref)
	}
	// A variable does not hold the references of thousands of images.
	file := filepath.Join(dir, "copy.txt")
	check(t, os.WriteFile(file, []byte(strings.Join(spec, "\n")), 0o644))
	cmd.Env = append(os.Environ(), copyVar+"="+file)
	return measure(t, cmd)
}

func copyImages(ctx context.Context, spec []string) error {
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		return err
	}
	sys := &types.SystemContext{DockerInsecureSkipTLSVerify: types.OptionalBoolTrue}
	for i, ref := range spec[1:] {
		from, err := docker.ParseReference("//" + ref)
		if err != nil {
			return err
		}
		to, err := layout.NewReference(spec[0], fmt.Sprintf("i%d", i))
		if err != nil {
			return err
		}
		if _, err := copy.Image(ctx, policy, to, from, &copy.Options{SourceCtx: sys}); err != nil {
			return err
		}
	}
	return nil
}
