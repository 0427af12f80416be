package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// harmless are the commands that change nothing but what they are told to write.
func harmless() []string {
	return []string{
		"nodeseal", "audit", "completion", "completion bash", "completion fish", "completion powershell", "completion zsh",
		"config", "demo", "help", "diff", "inspect", "list", "man", "report", "serve", "status", "version",
	}
}

// TestEveryCommandHasADryRun holds that each command that changes something has
// --dry-run, and that the script which compares before and after runs each of them.
func TestEveryCommandHasADryRun(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join("testdata", "script", "nothingchanged.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(&app{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "nodeseal ")
		flag := cmd.Flags().Lookup("dry-run")
		switch known := slices.Contains(harmless(), name) || cmd.Hidden || strings.HasPrefix(name, "config "); {
		case known && flag != nil:
			t.Errorf("%s has --dry-run and is said to change nothing", name)
		case !known && flag == nil:
			t.Errorf("%s has no --dry-run, and is not said to change nothing", name)
		case flag != nil && !regexp.MustCompile(`(?m)^unchanged \d+ `+name+` .*--dry-run`).Match(script):
			t.Errorf("%s --dry-run: the script does not run it", name)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// unchanged runs nodeseal, which must end with the exit code and leave everything below the
// script's directory as it was: unchanged CODE COMMAND...
func unchanged(t *testing.T, ts *testscript.TestScript, args []string) {
	dir := ts.Getenv("WORK")
	before := describe(t, ts, dir)
	expectExit(ts, false, slices.Insert(slices.Clone(args), 1, "nodeseal"))
	if diff := storetest.Diff(before, describe(t, ts, dir)); diff != "" {
		ts.Fatalf("nodeseal %s changed something:\n%s", strings.Join(args[1:], " "), diff)
	}
}

// describe is everything that is below dir, and mounted there.
func describe(t *testing.T, ts *testscript.TestScript, dir string) []string {
	lines := slices.DeleteFunc(storetest.DescribeTree(t, dir, storetest.TreeOptions{}), func(line string) bool {
		return strings.HasPrefix(line, `".tmp`) // programs may use that as they like
	})
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(dir, ".tmp")) {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
			lines = append(lines, fmt.Sprintf("%s flags=%x", path, flags))
		}
		return nil
	}))
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	ts.Check(err)
	for _, m := range mounts {
		lines = append(lines, fmt.Sprintf("mount %+v", *m))
	}
	return lines
}
