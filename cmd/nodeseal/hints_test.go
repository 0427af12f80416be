package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// placeholder is a word of a command that stands for another.
var placeholder = regexp.MustCompile(`\b[A-Z]{2,}\b`)

// runHint runs a command that the last command's output names, with its placeholders
// filled in: hint CODE 'nodeseal verify BUNDLE' BUNDLE=b.tar.zst. The command must stand in the
// output word by word. CODE 0 says that it did what was promised; another one, which the
// script explains, that it answers the question that it is the hint for.
func runHint(ts *testscript.TestScript, _ bool, args []string) {
	command := args[1]
	if said := ts.ReadFile("stdout") + ts.ReadFile("stderr"); !strings.Contains(said, command) {
		ts.Fatalf("the output names no %q", command)
	}
	words := strings.Fields(command)
	for i, word := range words {
		for _, fill := range args[2:] {
			name, value, _ := strings.Cut(fill, "=")
			word = regexp.MustCompile(`\b`+name+`\b`).ReplaceAllLiteralString(word, value)
		}
		if words[i] != word || !placeholder.MatchString(word) {
			words[i] = word
			continue
		}
		ts.Fatalf("nothing fills %q in %q", word, command)
	}
	expectExit(ts, false, append([]string{args[0]}, words...))
}

// notRun are commands of hints that no script runs, with the reason.
func notRun() map[string]string {
	return map[string]string{
		"nodeseal retire --when-safe":          "it waits for containers: e2e runs it",
		"nodeseal import --store":              "it says where a store came from",
		"nodeseal clean":                       "a container has to read the old store: internal/deaths runs it",
		"nodeseal unseal":                      "it gives an image up: slotimages.txtar runs it",
		"nodeseal COMMAND --help":              "COMMAND is the one that was run",
		"nodeseal import BUNDLE --images LIST": "no bundle that bundle makes has a layer that nodes refuse",
	}
}

// TestHintsAreRun holds that each command which a hint names is run by a script, out of the
// message of a real failure.
func TestHintsAreRun(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^hint \d+ '([^']*)'`).FindAllStringSubmatch(string(text), -1) {
			run = append(run, m[1])
		}
	}
	for path, function := range map[string]string{"errors.go": "hint", "../../internal/whatis/whatis.go": "next"} {
		commands := hintedCommands(t, path, function)
		if len(commands) < 5 {
			t.Errorf("%s: %d commands are hinted at, which are too few: how they are looked for is wrong", path, len(commands))
		}
		for _, command := range commands {
			want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(command), "PATH", `\S+`))
			found := notRun()[command] != ""
			for _, r := range run {
				found = found || want.MatchString(r)
			}
			if !found {
				t.Errorf("%s: no script runs the hint %q", path, command)
			}
		}
	}
}

// hintedCommands are the commands in the strings that a function returns, each with its flags
// and placeholders.
func hintedCommands(t *testing.T, path, function string) (commands []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok {
			return f.Name.Name == function
		}
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			commands = append(commands, regexp.MustCompile(`nodeseal ([a-z-]+|COMMAND)( (--[a-z-]+|[A-Z][A-Z/]+[A-Za-z.]*|[a-z]+\.json))*`).FindAllString(text, -1)...)
		}
		return true
	})
	return commands
}
