package main

import (
	"bytes"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// versionMark stands before the version that is appended to a copy of this program.
const versionMark = "\nnodeseal program of a test, version "

// appendedVersion is the version that this program has in a script, "" if none was appended.
func appendedVersion() string {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer self.Close()
	info, err := self.Stat()
	if err != nil {
		return ""
	}
	tail := make([]byte, 100)
	n, err := self.ReadAt(tail, info.Size()-int64(len(tail)))
	if err != nil {
		return ""
	}
	_, found, _ := strings.Cut(string(tail[:n]), versionMark)
	return found
}

// otherProgram makes a program of another version, which may not know a feature of bundles:
// program FILE VERSION [FEATURE]. It is this one, with its version appended and the feature's name
// changed.
func otherProgram(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile("/proc/self/exe")
	ts.Check(err)
	if len(args) > 2 {
		data = bytes.ReplaceAll(data, []byte(args[2]), []byte(args[2][:len(args[2])-1]+"?"))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(data, versionMark+args[1]...), 0o700))
}
