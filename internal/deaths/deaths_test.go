//go:build deaths

// Package deaths kills the real program in each state that it can leave on the disk, and then
// runs other commands. make deaths runs it, as root.
//
// A run under ptrace tells the states: the names in the slots' directory and beside a single store, what is in
// them and what is mounted, before each system call that changes one. Then for each state, and
// commands that may come next, the command is run again on a copy of the same disk and killed in
// that state, at its first, its middle or its last change. The next command must do its work;
// then the command that was killed runs again, and clean: both slots hold what they should, sealed and
// proven by verify, and nothing is left over.
//
// Each state has three commands next, other ones from state to state; all of them with
// NODESEAL_DEATHS=all, which takes four times as long. NODESEAL_DEATHS=states kills nothing, and
// holds the table in docs/crash.md to the names that are left.
package deaths

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// scenario is a command that is killed, and what there was before.
type scenario struct {
	name  string
	setup func(t *testing.T, b *bench, form string)
	// unmounted leaves the slots unmounted before the command, as a start of the machine does.
	unmounted bool
	args      func(b *bench, form string) []string
	// before and after are what slots a and b hold.
	before, after [2]string
	// one says that the command is about a store that is no slot.
	one bool
	// whole is set for a command of the staging machine, which fills no store: it wants what lies
	// under the final names to be whole, and in the end wants it to be there, with nothing beside.
	whole func(t *testing.T, b *bench, end bool)
	// size is that of the disk in MiB; 0 is defaultDisk.
	size int64
}

const (
	r1, r2, none = "release 4.99.1", "release 4.99.2", "nothing"
)

func (b *bench) importArgs(form string, release int) []string {
	return []string{"import", "--quiet", "--root", b.slots(), "--format", form, b.bundles[release]}
}

// fill imports releases into the slots, and takes the mounts away.
func fill(releases ...int) func(t *testing.T, b *bench, form string) {
	return func(t *testing.T, b *bench, form string) {
		t.Helper()
		for _, n := range releases {
			b.mustRun(t, b.importArgs(form, n)...)
		}
		b.mustRun(t, "umount", "--root", b.slots())
	}
}

// left fills slot a and leaves an import of release 2 in a state that has a name.
func left(name string) func(t *testing.T, b *bench, form string) {
	return func(t *testing.T, b *bench, form string) {
		t.Helper()
		fill(1)(t, b, form)
		suffix := ""
		if form == "image" {
			suffix = ".erofs"
		}
		name := slotsDir + "/.work/" + fmt.Sprintf(name, suffix)
		last := ""
		_, killed, err := trace(command(b.log(t), b.bin, b.importArgs(form, 2)...), changes(), onChange(func() bool {
			has := strings.Contains(state(b.disk)+"\n", name+"\n") || strings.Contains(state(b.disk), name+":")
			records, _ := os.ReadDir(b.slots() + "/.work/.new-b.partial/records")
			done := has && (len(records) == 2 || !strings.Contains(name, ".partial") || form == "image")
			last = state(b.disk)
			return done
		}))
		must(t, err)
		if !killed {
			t.Fatalf("the import was not killed with %s; last\n%s", name, last)
		}
		b.mustRun(t, "umount", "--root", b.slots())
	}
}

func scenarios() []scenario {
	nothing := func(*testing.T, *bench, string) {}
	clean := func(b *bench, _ string) []string { return []string{"clean", "--root", b.slots(), "--store", b.one()} }
	return []scenario{
		{
			name: "the first import", setup: nothing,
			args:  func(b *bench, form string) []string { return b.importArgs(form, 1) },
			after: [2]string{r1, none},
		},
		{
			name: "import", setup: fill(1),
			args:   func(b *bench, form string) []string { return b.importArgs(form, 2) },
			before: [2]string{r1, none}, after: [2]string{r1, r2},
		},
		{
			name: "import-stick", setup: fill(1),
			args: func(b *bench, form string) []string {
				return []string{"import-stick", b.stick, "--quiet", "--root", b.slots(), "--format", form}
			},
			before: [2]string{r1, none}, after: [2]string{r1, r2},
		},
		{
			name: "reseal", setup: fill(1),
			args: func(b *bench, _ string) []string {
				return []string{"reseal", "--quiet", "--root", b.slots(), b.bundles[2]}
			},
			before: [2]string{r1, none}, after: [2]string{r1, r2},
		},
		{
			name: "retire", setup: fill(1, 2),
			args: func(b *bench, _ string) []string {
				return []string{"retire", "a", "--empty-node", "--staged", "--root", b.slots(), "--storage-conf", b.conf}
			},
			before: [2]string{r1, r2}, after: [2]string{none, r2},
		},
		{
			name: "mount", setup: fill(1), unmounted: true,
			args:   func(b *bench, _ string) []string { return []string{"mount", "--root", b.slots()} },
			before: [2]string{r1, none}, after: [2]string{r1, none},
		},
		{
			name: "verify --repair",
			setup: func(t *testing.T, b *bench, form string) {
				t.Helper()
				fill(1)(t, b, form)
				rot(t, b.slots()+"/a", 1)
			},
			args: func(b *bench, _ string) []string {
				return []string{"verify", "--quiet", b.slots() + "/a", "--repair", b.bundles[1]}
			},
			before: [2]string{r1, none}, after: [2]string{r1, none},
		},
		{
			name: "clean of an import", setup: left(".new-b%s.partial"), args: clean,
			before: [2]string{r1, none}, after: [2]string{r1, none},
		},
		{
			name: "clean of a finished store", setup: left("new-b%s"), args: clean,
			before: [2]string{r1, none}, after: [2]string{r1, none},
		},
		{
			name: "import --store", setup: nothing, one: true,
			args: func(b *bench, form string) []string {
				return []string{"import", "--quiet", "--store", b.one(), "--format", form, b.bundles[1]}
			},
		},
		{
			name: "verify STORE --repair", one: true,
			setup: func(t *testing.T, b *bench, form string) {
				t.Helper()
				b.mustRun(t, "import", "--quiet", "--store", b.one(), "--format", form, "--no-mount", b.bundles[1])
				rot(t, b.one(), 1)
			},
			args: func(b *bench, _ string) []string {
				return []string{"verify", "--quiet", b.one(), "--repair", b.bundles[1]}
			},
		},
	}
}

// next is a command that comes after a death, with the exit codes that it may have.
type next struct {
	name string
	args []string
	exit []int
	// reads says that it changes nothing.
	reads bool
}

func (b *bench) nexts(form string, s *scenario) []next {
	if s.one {
		return []next{
			{"verify", []string{"verify", "--quiet", b.one()}, []int{0, 1, 2, 4}, true},
			{"clean", []string{"clean", "--root", b.slots(), "--store", b.one()}, []int{0}, false},
			{"the same", s.args(b, form), []int{0}, false},
		}
	}
	return []next{
		{"import", b.importArgs(form, 2), []int{0}, false},
		{"import-stick", []string{"import-stick", b.stick, "--quiet", "--root", b.slots(), "--format", form}, []int{0}, false},
		{"reseal", []string{"reseal", "--quiet", "--root", b.slots(), b.bundles[2]}, []int{0}, false},
		{"retire", []string{"retire", "a", "--empty-node", "--staged", "--root", b.slots(), "--storage-conf", b.conf}, []int{0}, false},
		{"status", []string{"status", "--root", b.slots(), "--storage-conf", b.conf}, []int{0, 4}, true},
		{"verify", []string{"verify", "--quiet", b.slots() + "/a"}, []int{0, 1, 2, 4}, true},
		{"verify --repair", []string{"verify", "--quiet", b.slots() + "/a", "--repair", b.bundles[1]}, []int{0, 1, 2, 4, 5}, false},
		{"mount", []string{"mount", "--root", b.slots()}, []int{0}, false},
		{"clean", []string{"clean", "--root", b.slots()}, []int{0}, false},
		{"the same", s.args(b, form), []int{0}, false},
	}
}

// TestDeaths is described above.
func TestDeaths(t *testing.T) {
	b := newBench(t)
	names, err := documented()
	must(t, err)
	done := make(map[string]bool) // states with the command that came next
	ran := 0
	for _, form := range []string{"dir", "image"} {
		for _, s := range scenarios() {
			t.Run(form+"/"+s.name, func(t *testing.T) {
				disk := b.makeDisk(t, strings.ReplaceAll(form+s.name, " ", "-"), s.size, func() { s.setup(t, b, form) })
				b.boot(t, disk, !s.unmounted && !s.one && s.before != [2]string{})
				var order []string
				var count map[string]int
				func() {
					defer b.unplug(t)
					order, count = b.states(t, s.args(b, form)...)
				}()
				ran++
				for i, at := range order {
					t.Logf("state %d: %d changes begin in it\n%s", i, count[at], at)
					for j, n := range chosen(b.nexts(form, &s), i) {
						if key := form + "\n" + at + "\n" + n.name; !done[key] {
							done[key] = true
							moment := []int{0, count[at] / 2, count[at] - 1}[(i+j)%3]
							b.testDeath(t, death{scenario: &s, form: form, disk: disk, at: at, moment: moment}, n)
						}
					}
				}
				t.Logf("%d states", len(order))
				must(t, os.Remove(string(disk)))
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.names)) {
		if !names[name] {
			t.Errorf("%s leaves %s, which the table in docs/crash.md does not have", b.names[name], name)
		}
		delete(names, name)
	}
	if ran < 2*len(scenarios()) {
		return // only some were asked for, or one failed
	}
	for name := range names {
		t.Errorf("nothing leaves %s, which the table in docs/crash.md has", name)
	}
}

// chosen are the commands that come after the death in state number i.
func chosen(all []next, i int) []next {
	const few = 3
	switch os.Getenv("NODESEAL_DEATHS") {
	case "all":
		return all
	case "states":
		return nil
	}
	out := make([]next, 0, few)
	for j := range min(few, len(all)) {
		out = append(out, all[(few*i+j)%len(all)])
	}
	return out
}

// death is a moment at which a command is killed.
type death struct {
	*scenario
	form   string
	disk   snapshot
	at     string // the state
	moment int    // which of the changes in that state
}

func (b *bench) testDeath(t *testing.T, d death, n next) {
	t.Helper()
	t.Run(fmt.Sprintf("%s, then %s", summary(d.at), n.name), func(t *testing.T) {
		killed := false
		for try := 0; !killed && try < 5; try++ {
			if try > 0 {
				b.unplug(t)
				d.moment = 0 // goroutines differ from run to run
			}
			b.boot(t, d.disk, !d.unmounted && !d.one && d.before != [2]string{})
			killed = b.die(t, d.at, d.moment, d.args(b, d.form)...)
		}
		defer b.unplug(t)
		if !killed {
			t.Fatal("the command did not come into this state again, in five runs")
		}
		before := state(b.disk)
		defer func() {
			if t.Failed() {
				t.Logf("after the death:\n%s\nat the end:\n%s", before, state(b.disk))
			}
		}()
		code, out := b.run(n.args...)
		if !slices.Contains(n.exit, code) {
			t.Fatalf("%s: exit code %d, want one of %v\n%s", n.name, code, n.exit, out)
		}
		if after := state(b.disk); n.reads && after != before && !strings.Contains(n.name, "verify") {
			t.Errorf("%s changed something:\n%s", n.name, after)
		}
		if d.one {
			b.endOne(t, d)
			return
		}
		b.held(t, d, n, before)
		b.end(t, d, n)
	})
}

// lasting is a state without the names that files of an image in the making have for a moment.
func lasting(state string) string {
	lines := slices.DeleteFunc(strings.Split(state, "\n"), func(line string) bool {
		return strings.HasSuffix(line, ".partial.spool") || strings.HasSuffix(line, ".partial.splits") || strings.HasSuffix(line, ".partial.tables")
	})
	return strings.Join(lines, "\n")
}

// summary is a state in one line: what does not belong there.
func summary(state string) string {
	var names []string
	for line := range strings.Lines(state) {
		if name := row(strings.TrimSpace(line)); name != "" {
			names = append(names, strings.TrimPrefix(name, ".work/"))
		}
	}
	if len(names) == 0 {
		return "nothing beside the slots"
	}
	return strings.Join(names, " ")
}

// held wants that no release is lost, and none was put where it does not belong.
func (b *bench) held(t *testing.T, d death, n next, left string) {
	t.Helper()
	unsure := strings.Contains(left, "/retire-a: "+strings.Replace(r1, "4.99.", "", 1)) || strings.Contains(left, "/retire-a.erofs")
	for i, name := range slot.Names() {
		may := []string{d.before[i], d.after[i]}
		switch {
		case n.name == "retire" || n.name == "the same" && d.name == "retire":
			if name == slot.A {
				may = append(may, none)
			}
		case unsure && !n.reads && name == slot.A:
			may = []string{r1}
		}
		if d.before[i] == "" || d.before[i] == none || d.before[i] == may[len(may)-1] {
			may = append(may, none, r1, r2) // it was free
		}
		if got := b.content(t, name); !slices.Contains(may, got) {
			t.Errorf("slot %s holds %q, want one of %q", name, got, may)
		}
	}
}

// end runs the killed command again, and clean, and wants all to be in order.
func (b *bench) end(t *testing.T, d death, n next) {
	t.Helper()
	if code, out := b.run(d.args(b, d.form)...); code != 0 && n.name != "retire" {
		t.Errorf("the killed command again: exit code %d\n%s", code, out)
	}
	b.mustRun(t, "clean", "--root", b.slots())
	if left, err := os.ReadDir(b.slots() + "/.work"); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	for i, name := range slot.Names() {
		got := b.content(t, name)
		if d.after[i] != none && got != d.after[i] && n.name != "retire" && !(d.before[i] == "" && got != "") {
			t.Errorf("in the end slot %s holds %q, want %q", name, got, d.after[i])
		}
		if got != "" {
			b.sealed(t, b.slots()+"/"+string(name))
		}
	}
}

// endOne is end for a store that is no slot.
func (b *bench) endOne(t *testing.T, d death) {
	t.Helper()
	if code, out := b.run(d.args(b, d.form)...); code != 0 {
		t.Errorf("the killed command again: exit code %d\n%s", code, out)
	}
	b.mustRun(t, "clean", "--root", b.slots(), "--store", b.one())
	b.mustRun(t, "seal", b.one())
	b.sealed(t, b.one())
	for line := range strings.Lines(state(b.disk)) {
		if name := row(strings.TrimSpace(line)); name != "" {
			t.Errorf("left over: %s", name)
		}
	}
}
