package depcheck

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is how often a file may use what is looked for, and why.
type allowed struct {
	uses int
	why  string
}

// TestBundlesAreTrusted lists the files that open bundles themselves, how often, and why they may: a
// node that has a key believes no other bundle. All else calls trust.Bundle.Open.
func TestBundlesAreTrusted(t *testing.T) {
	t.Parallel()
	onlyIn(t, "github.com/nodeseal/nodeseal/bundle/archive", []string{"OpenFile", "OpenBytes", "NewReader", "Verify"}, map[string]allowed{
		"cmd/nodeseal/verify.go":        {2, "the check comes with archive.VerifyOptions.Trust"},
		"cmd/nodeseal/verifybase.go":    {1, "archive.WithTrust holds it to what was verified"},
		"cmd/nodeseal/verifyinstall.go": {1, "archive.WithTrust, and it must be what was verified"},
		"internal/audit/refused.go":     {2, "archive.VerifyOptions.Trust holds it to what was opened"},
		"internal/base/place.go":        {1, "a base: each of its layers is proven by its diff ID"},
		"internal/carry/fill.go":        {2, "archive.WithTrust with the keys of the nodes that the stick is for"},
		"internal/carry/find.go":        {1, "which bundle of a stick builds on which: the one that is chosen is opened again, with the keys"},
		"internal/demo/demo.go":         {3, "the bundle that it made"},
		"internal/install/open.go":      {1, "archive.WithTrust with the keys of the node at a --sysroot"},
		"internal/parts/parts.go":       {1, "the bytes, which are copied: the inventory was looked at before"},
		"internal/trust/beside.go":      {1, "the bundle that is replaced: is its signature still right?"},
		"internal/trust/signed.go":      {1, "it is trust.Bundle.Open"},
		"internal/trust/trust.go":       {1, "the bundle that is signed"},
	})
}

// TestImagesAreTrusted lists the files that mount a store image to read what is in it, likewise. All
// else calls install.ReadContents.
func TestImagesAreTrusted(t *testing.T) {
	t.Parallel()
	onlyIn(t, "github.com/nodeseal/nodeseal/internal/form", []string{"ReadContents"}, map[string]allowed{
		"internal/install/trusted.go": {1, "it is install.ReadContents"},
	})
}

// onlyIn holds that no file but those of may uses a function of a package, be it called or a value,
// whatever name the package is imported by.
func onlyIn(t *testing.T, pkg string, functions []string, may map[string]allowed) {
	t.Helper()
	found := make(map[string]int)
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			n, dot := uses(file, pkg, functions)
			if name = strings.TrimPrefix(filepath.ToSlash(name), "../../"); dot {
				t.Errorf("%s imports %s by a dot: what it uses is not seen", name, pkg)
			}
			if n > 0 {
				found[name] = n
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, n := range found {
		if may[name].uses != n {
			t.Errorf("%s uses %s (%s) %d times, and may %d times: without a look at the signature?", name, path.Base(pkg), strings.Join(functions, ", "), n, may[name].uses)
		}
	}
	for name := range may {
		if found[name] == 0 {
			t.Errorf("%s uses none of %s: take it off the list", name, path.Base(pkg))
		}
	}
}

// uses counts the uses of functions of a package in a file; dot says that it is imported without a name.
func uses(file *ast.File, pkg string, functions []string) (n int, dot bool) {
	var names []string
	for _, imp := range file.Imports {
		if at, err := strconv.Unquote(imp.Path.Value); err != nil || at != pkg {
			continue
		}
		name := path.Base(pkg)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		dot = dot || name == "."
		names = append(names, name)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		sel, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(names, x.Name) && slices.Contains(functions, sel.Sel.Name) {
			n++
		}
		return true
	})
	return n, dot
}

func TestUses(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		`import "x/archive"; func f() { archive.Open("a"); archive.Other() }`:             1,
		`import "x/archive"; var open = archive.Open; func f() { archive.Open ("a") }`:    2,
		`import other "x/archive"; func f() { other.Open("a"); archive.Open("b") }`:       1,
		`import "y/archive"; func f() { archive.Open("a") }`:                              0,
		`import ("x/archive"; b "x/archive"); func f() { archive.Open("a"); b.Open("") }`: 2,
		`import . "x/archive"; func f() { Open("a") }`:                                    -1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a; "+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if n, dot := uses(file, "x/archive", []string{"Open"}); dot != (want < 0) || n != max(want, 0) {
			t.Errorf("%s: %d uses, %v", source, n, dot)
		}
	}
}
