package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestMain lets the scripts run this very program: its real main, but for the waits
// between tries, which are a thousand times shorter. With those it is nodeseal-on-time.
func TestMain(m *testing.M) {
	testscript.Main(withFixtures{m}, map[string]func(){
		"nodeseal": mainWithShortWaits, "nodeseal-on-time": main, "nodeseal-without-erofs": mainWithoutEROFS,
	})
}

func mainWithShortWaits() {
	version = appendedVersion()
	os.Exit(start(func(ctx context.Context, d time.Duration) error {
		select {
		case <-time.After(d / 1000):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
}

// TestScripts runs testdata/script: the command line as its users see it.
func TestScripts(t *testing.T) {
	t.Parallel()
	runScripts(t, "script")
}

// TestWalk follows docs/walk.md: the commands are taken out of the page. It is slow.
func TestWalk(t *testing.T) {
	t.Parallel()
	runScripts(t, "walk")
}

// runScripts runs the scripts in a directory of testdata.
func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOGC", commandGC)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "required": // what is missing on this machine is a failure
				return os.Getenv("NODESEAL_REQUIRE") == "1", nil
			case "erofs":
				// Of its own: scripts run side by side.
				dir, err := os.MkdirTemp("", "nodeseal-erofs-")
				if err != nil {
					return false, err
				}
				defer os.RemoveAll(dir)
				return os.Geteuid() == 0 && image.Supported(context.Background(), dir) == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"release":   serveRelease,
			"bundled":   bundledRelease,
			"flip":      flipByte,
			"hurt":      hurtContent,
			"cut":       cutFile,
			"sealed":    unsealLater,
			"exits":     expectExit,
			"page":      pageCommands,
			"artifacts": serveArtifacts, "lostlayers": serveLost, "artifactblob": artifactBlob,
			"program": otherProgram,
			"told":    serveTold, "toldparts": serveToldParts,
			"walk":     walkPage,
			"catalog":  serveCatalog,
			"hint":     runHint,
			"receiver": serveReceiver, "mirrorconf": mirrorConf, "trouble": makeTrouble, "received": countReceived,
			"cluster":   serveCluster,
			"unchanged": func(ts *testscript.TestScript, _ bool, args []string) { unchanged(t, ts, args) },
			"same":      func(ts *testscript.TestScript, _ bool, args []string) { sameStores(t, ts, args) },
		},
	})
}

// pageCommands takes the commands out of README.txt of a stick, in their order, into a
// script that ends at the first that fails: a test follows the page word by word.
func pageCommands(ts *testscript.TestScript, _ bool, args []string) {
	script := "set -ex\n"
	for _, line := range strings.Split(ts.ReadFile(args[0]), "\n") {
		if command, ok := strings.CutPrefix(line, "       "); ok {
			script += command + "\n"
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(script), 0o600))
}

// serveRelease serves the made-up release until the script ends, and writes
// images.lst and registries.conf: release [OS-LAYERS OS-BUILD [VERSION]]. With an operating system
// it sets RELEASE, OSIMAGE and ETCD to their references.
func serveRelease(ts *testscript.TestScript, _ bool, args []string) {
	r, err := release()
	if len(args) >= 2 {
		n, aerr := strconv.Atoi(args[0])
		ts.Check(aerr)
		o := samplerelease.Options{OS: samplerelease.OS{Layers: n, Build: args[1]}}
		if len(args) > 2 {
			o.Version = args[2]
		}
		r, err = samplerelease.Build(o)
	}
	ts.Check(err)
	for name, image := range map[string]string{"RELEASE": samplerelease.ReleaseImage, "OSIMAGE": samplerelease.OSImage, "ETCD": "etcd"} {
		if img, ok := r.Image(image); ok {
			ts.Setenv(name, img.Ref)
		}
	}
	addr, stop, err := r.Serve(context.Background())
	ts.Check(err)
	ts.Defer(func() { ts.Check(stop()) })
	ts.Check(writeRelease(ts.MkAbs("."), r.ImagesList(), addr))
}

// bundledRelease puts a bundle of images of the made-up release here: bundled FILE LIST, or
// bundled FILE for all of them, with their list, images.lst. Scripts that are not about how
// a bundle is made share it.
func bundledRelease(ts *testscript.TestScript, _ bool, args []string) {
	var list []byte
	if len(args) > 1 {
		list = []byte(ts.ReadFile(args[1]))
	} else {
		r, err := release()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("images.lst"), []byte(r.ImagesList()), 0o600))
	}
	path, err := sharedBundles.of(list)
	ts.Check(err)
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// flipByte changes a byte of a file: flip FILE PERCENT.
func flipByte(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	data[len(data)*percent/100] ^= 4
	ts.Check(os.WriteFile(path, data, 0o600))
}

// hurtContent changes a byte of one file where it has the content of another: hurt FILE CONTENT.
func hurtContent(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	content, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	at := bytes.Index(data, content)
	if at < 0 {
		ts.Fatalf("%s does not have the content of %s", args[0], args[1])
	}
	data[at+len(content)/2] ^= 4
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// cutFile cuts a file to a part of its length: cut FILE PERCENT.
func cutFile(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()*int64(percent)/100))
}

// unsealLater takes the seal off a store when the script ends, so that its
// directory can be removed.
func unsealLater(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Defer(func() {
		if file, ok := form.FileOf(dir); ok {
			_, err := seal.UnsealImage(file, dir)
			ts.Check(err)
		} else if _, err := os.Stat(dir); err == nil {
			_, err := seal.Unseal(context.Background(), dir)
			ts.Check(err)
		}
	})
}

// linkCounts are what a description says of links: layers that were taken from
// another store are linked to there.
var linkCounts = regexp.MustCompile(` links=\d+ first="[^"]*"`)

// sameStores holds that stores have the same files, to the byte, mode, owner, time
// and extended attribute: same STORE STORE...
func sameStores(t *testing.T, ts *testscript.TestScript, args []string) {
	var want []string
	for i, arg := range args {
		got := storetest.DescribeTree(t, ts.MkAbs(arg), storetest.TreeOptions{})
		for i, line := range got {
			got[i] = linkCounts.ReplaceAllString(line, "")
		}
		if i == 0 {
			want = got
		} else if diff := storetest.Diff(want, got); diff != "" {
			ts.Fatalf("%s is not %s:\n%s", arg, args[0], diff)
		}
	}
}

// expectExit runs a command that must end with the exit code: exits CODE COMMAND...
func expectExit(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
