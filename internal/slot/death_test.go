package slot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// death is a moment at which a command is killed: it is about to do step. Left is what
// that leaves beside the slots, in words of docs/crash.md.
type death struct {
	command, step, left string
	// again is the step of the sweep at which the command is killed a second time: it was
	// putting back what the first death had left out of its slot.
	again string
}

// deaths are the states that a command which changes slots can leave.
func deaths() []death {
	return []death{
		{command: "fill", step: "seal", left: "a finished store in .work/new-b"},
		{command: "fill", step: "swap", left: "a sealed store in .work/new-b, its time in state.json"},
		{command: "fill", step: "unmount", left: "the new store in .work/swap-b"},
		{command: "fill", step: "exchange", left: "the same, and slot b not mounted"},
		{command: "fill", step: "exchanged", left: "the new store in slot b, not mounted; the old one in .work/swap-b"},
		{command: "fill", step: "discard", left: "the old store in .work/swap-b"},
		{command: "retire", step: "swap", left: "an empty store in .work/empty-a"},
		{command: "retire", step: "unmount", left: "an empty store in .work/retire-a"},
		{command: "retire", step: "exchange", left: "the same, and slot a not mounted"},
		{command: "retire", step: "exchanged", left: "slot a empty and not mounted; the old store in .work/retire-a"},
		{command: "retire", step: "look again", left: "slot a empty; the old store in .work/retire-a"},
		{command: "retire", step: "give up", left: "the same"},
		{command: "retire", step: "give up", again: "swap", left: "slot a empty; the old store in .work/retire-a"},
		{command: "retire", step: "give up", again: "unmount", left: "the same"},
		{command: "retire", step: "give up", again: "exchange", left: "the same, and slot a not mounted"},
		{command: "retire", step: "give up", again: "exchanged", left: "the old store in slot a, not mounted; an empty one in .work/retire-a"},
		{command: "retire", step: "give up", again: "put back", left: "an empty store in .work/retire-a; of an image, slot a is not mounted"},
	}
}

// strays are files that a kill inside another package leaves.
func strays(r *Root) []string {
	return []string{
		filepath.Join(r.dir, ".state.json.4711-0.partial"),
		filepath.Join(r.work(), ".kept-a-0123456789ab.json.4711-0.partial"),
		r.Image(A) + ".sha256.partial",
	}
}

const (
	envDeath = "NODESEAL_TEST_DEATH"
	envRoot  = "NODESEAL_TEST_ROOT"
	envImage = "NODESEAL_TEST_IMAGE"
)

// TestDie is the command that is killed: a process of its own.
func TestDie(t *testing.T) {
	command, step, ok := strings.Cut(os.Getenv(envDeath), "/")
	if !ok {
		t.Skip("started by TestDeaths")
	}
	r, err := Open(os.Getenv(envRoot), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.before = func(at string) error {
		if at == step {
			return unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		return nil
	}
	if command == "retire" {
		_, err = r.Retire(t.Context(), A, Node{EmptyNode: true})
	} else {
		_, err = r.Fill(t.Context(), release(t, 2), FillOptions{Image: os.Getenv(envImage) != "", Now: clock(2)})
	}
	t.Fatalf("it lives: %v", err)
}

// next are the commands that may come after a death. Each works at once, and what only
// reads changes nothing.
func next() map[string]func(ctx context.Context, t *testing.T, r *Root, asImage bool) error {
	return map[string]func(ctx context.Context, t *testing.T, r *Root, asImage bool) error{
		"import": func(ctx context.Context, t *testing.T, r *Root, asImage bool) error {
			_, err := r.Fill(ctx, release(t, 2), FillOptions{Image: asImage, Now: clock(2)})
			return err
		},
		"reseal": func(ctx context.Context, t *testing.T, r *Root, asImage bool) error {
			_, err := r.Fill(ctx, release(t, 2), FillOptions{Image: asImage, FromOtherSlot: true, Now: clock(2)})
			return err
		},
		"reseal with another release": func(ctx context.Context, t *testing.T, r *Root, asImage bool) error {
			_, err := r.Fill(ctx, release(t, 3), FillOptions{Image: asImage, FromOtherSlot: true, Now: clock(3)})
			var full *FullError
			if errors.As(err, &full) {
				return nil
			}
			return err
		},
		"retire": func(ctx context.Context, _ *testing.T, r *Root, _ bool) error {
			_, err := r.Retire(ctx, A, Node{EmptyNode: true})
			return err
		},
		"status": func(_ context.Context, _ *testing.T, r *Root, _ bool) error {
			_, aerr := r.Read(A)
			_, berr := r.Read(B)
			return errors.Join(aerr, berr)
		},
		"verify": func(_ context.Context, _ *testing.T, r *Root, _ bool) error {
			s, err := r.Read(A)
			if err != nil || s.ID == "" {
				return err
			}
			return r.Verified(s, clock(9), 0)
		},
		"clean": func(ctx context.Context, _ *testing.T, r *Root, _ bool) error {
			_, err := r.Clean(ctx)
			return err
		},
		"mount": func(ctx context.Context, _ *testing.T, r *Root, _ bool) error { return r.Mount(ctx, Names()...) },
	}
}

// TestDeaths kills a process at every step that changes slots, runs each command next,
// and then the interrupted one again: no command fails, readers find valid stores all
// the time, and in the end both slots are sealed and mounted and nothing is left over.
func TestDeaths(t *testing.T) {
	for _, asImage := range []bool{false, true} {
		for _, d := range deaths() {
			if asImage && (d.command == "retire" && d.step == "swap" || d.again != "" && d.again != "put back") {
				continue // an image has no such step
			}
			form := "directory"
			if asImage {
				form = "image"
			}
			name := form + "/" + d.command + " before " + d.step
			if d.again != "" {
				name += " and again before " + d.again
			}
			t.Run(name, func(t *testing.T) { testDeath(t, d, asImage) })
		}
	}
}

func testDeath(t *testing.T, d death, asImage bool) {
	point := testenv.NeedFS(t, "ext4")
	for name, command := range next() {
		t.Run("then "+name, func(t *testing.T) {
			r, err := Open(filepath.Join(point, strings.ReplaceAll(name, " ", "-")), Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.Unmount(Names()...); err != nil {
					t.Error(err)
				}
			})
			fillAs(t, r, 1, asImage)
			if d.command == "retire" {
				fillAs(t, r, 2, asImage)
			}
			die(t, r, d, d.step, asImage)
			if d.again != "" {
				die(t, r, d, d.again, asImage)
			}
			for _, path := range strays(r) {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			valid(t, r)
			if err := command(t.Context(), t, r, asImage); err != nil {
				t.Fatalf("%s, after a death that left %s: %v", name, d.left, err)
			}
			valid(t, r)
			settledAfter(t, r, d, name, asImage)
		})
	}
}

// die runs the command of d until it is killed, when it comes to the step first.
func die(t *testing.T, r *Root, d death, step string, asImage bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDie$")
	cmd.Env = append(os.Environ(), envDeath+"="+d.command+"/"+step, envRoot+"="+r.Dir())
	if asImage {
		cmd.Env = append(cmd.Env, envImage+"=1")
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys() == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%s until %s: %v\n%s", d.command, step, err, out)
	}
}

// settledAfter wants the slots to be whole at once after any command that changes something,
// and nothing to be left after the interrupted command ran again and clean.
func settledAfter(t *testing.T, r *Root, d death, name string, asImage bool) {
	t.Helper()
	if name != "status" && name != "verify" {
		for _, n := range Names() {
			s, err := r.Read(n)
			if err != nil {
				t.Fatal(err)
			}
			hold(t, r, n, s.Release())
		}
		for _, path := range strays(r) {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left: %v", path, err)
			}
		}
	}
	if name == "reseal with another release" {
		return
	}
	out := fillAs(t, r, 2, asImage)
	hold(t, r, out.Slot, "release 4.99.2")
	if other := out.Slot.Other(); d.command == "retire" || name == "retire" {
		if _, err := r.Retire(t.Context(), other, Node{EmptyNode: true}); err != nil {
			t.Fatal(err)
		}
		hold(t, r, other, "nothing")
	} else {
		hold(t, r, other, "release 4.99.1")
	}
	if _, err := r.Clean(t.Context()); err != nil {
		t.Error(err)
	}
	noLeftOvers(t, r)
}
