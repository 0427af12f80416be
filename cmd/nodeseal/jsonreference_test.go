package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// modulePath starts the import paths whose sources are here.
const modulePath = "github.com/nodeseal/nodeseal"

// TestJSONReference holds that docs/json.md has every field that --json prints,
// with what the sources say of it.
func TestJSONReference(t *testing.T) {
	ref := &jsonReference{t: t, comments: make(map[reflect.Type]map[string]string), queued: make(map[reflect.Type]bool)}
	ref.page.WriteString(`# What --json prints

One JSON document on standard output; of a command that fails, none, but where the section says so. Fields are stable:
new ones may come, none goes or changes its meaning. A field marked *optional* is left out where it is empty. Bytes and
counts are whole numbers, times are RFC 3339 in UTC, digests ` + "`sha256:<hex>`" + `. A test writes this page from the
program's types.
`)
	for _, doc := range []struct {
		title, text string
		value       any
	}{
		{"list", "`--images` of every command reads this document back.", result.List{}},
		{"list --diff", "", result.Change{}},
		{"bundle", "Also where images failed (exit code 3).", result.Mirrored{}},
		{"bundle --dry-run", "", result.MirrorPlan{}},
		{"sign", "", result.Sign{}},
		{"split, join", "", result.Parts{}},
		{"carry", "", result.Carry{}},
		{"push", "Also where images failed, or a registry refused a list (exit code 3; 1 if no image arrived).", result.Push{}},
		{"clean", "", result.Clean{}},
		{"clean --work", "", result.CleanWork{}},
		{"--dry-run", "Of every command that changes something, but bundle, clean --work and rehearse, which have documents of their own.", result.Would{}},
		{"demo", "Also of a demo that failed.", result.Demo{}},
		{"inspect", "`inventory` is inventory.json as it is in the bundle or the store, null for an empty slot;\n[bundle-format.md](bundle-format.md) describes it.", result.Inspect{}},
		{"diff", "Also where there is no difference (exit code 0).", result.Diff{}},
		{"verify BUNDLE", "Also where damage was found (exit code 4).", result.Bundle{}},
		{"verify STORE", "Also where damage was found (exit code 4).", result.Store{}},
		{"import", "", result.Import{}},
		{"import-stick", "", result.Stick{}},
		{"reseal", "", result.Reseal{}},
		{"retire", "", result.Retire{}},
		{"status", "Also where a reboot would fail (exit code 4).", result.Status{}},
		{"report", "Also where something could not be read (exit code 3). With --list, members have no more than names and origins.", result.Report{}},
		{"rehearse", "Also where something reached out (exit code 4), and where the rehearsal proves nothing (exit code 1).", result.Rehearsal{}},
		{"rehearse --dry-run", "", result.RehearsalPlan{}},
		{"version", "", result.Version{}},
		{"mount, umount", "", result.Mounts{}},
		{"seal, unseal", "", result.Seal{}},
		{"audit", "Also where findings would break a reboot (exit code 4).", auditResult{}},
		{"config storage.conf and other single files", "", site.File{}},
		{"config with several files", "", site.Files{}},
		{"config all -o DIR", "", result.Written{}},
		{"--progress=json", "One document a line, on standard error: of a phase, and of a message.", ui.Line{}},
		{"--progress=json, messages", "", ui.Message{}},
	} {
		fmt.Fprintf(&ref.page, "\n## %s\n", doc.title)
		if doc.text != "" {
			fmt.Fprintf(&ref.page, "\n%s\n", doc.text)
		}
		ref.fields(reflect.TypeOf(doc.value))
	}
	ref.page.WriteString("\n## Types\n")
	for len(ref.queue) > 0 {
		typ := ref.queue[0]
		ref.queue = ref.queue[1:]
		fmt.Fprintf(&ref.page, "\n### %s\n", typeName(typ))
		ref.fields(typ)
	}
	holdPage(t, "json.md", ref.page.Bytes())
}

// jsonReference writes tables of fields.
type jsonReference struct {
	t        *testing.T
	page     bytes.Buffer
	comments map[reflect.Type]map[string]string // by field
	queue    []reflect.Type
	queued   map[reflect.Type]bool
}

// fields writes the table of a struct's fields.
func (r *jsonReference) fields(typ reflect.Type) {
	r.page.WriteString("\n| field | type | |\n|---|---|---|\n")
	r.rows(typ)
}

func (r *jsonReference) rows(typ reflect.Type) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && !tagged:
			r.rows(f.Type)
			continue
		case !f.IsExported(), tag == "-":
			continue
		case name == "":
			name = f.Name
		}
		text := cell(r.comment(typ, f.Name))
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			text = strings.TrimSpace("*optional*. " + text)
		}
		fmt.Fprintf(&r.page, "| `%s` | %s | %s |\n", name, r.kind(f.Type), text)
	}
}

// kind names a field's type in JSON's words, and queues structs.
func (r *jsonReference) kind(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return "time"
	case typ == reflect.TypeFor[time.Duration]():
		return "nanoseconds"
	case typ == reflect.TypeFor[json.RawMessage]():
		return "any"
	case typ == reflect.TypeFor[[]byte]():
		return "base64"
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "string"
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return r.kind(typ.Elem())
	case reflect.Slice, reflect.Array:
		return "list of " + r.kind(typ.Elem())
	case reflect.Map:
		return "object of " + r.kind(typ.Elem())
	case reflect.Struct:
		if !r.queued[typ] {
			r.queued[typ] = true
			r.queue = append(r.queue, typ)
		}
		name := typeName(typ)
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(strings.ReplaceAll(name, ".", "")))
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Interface:
		return "any"
	default:
		return "whole number"
	}
}

func typeName(typ reflect.Type) string {
	return strings.TrimPrefix(strings.TrimPrefix(typ.String(), "main."), "result.")
}

// comment is what the source says of a field of a type of this module. A comment
// of several fields stands before the first of them, and is repeated.
func (r *jsonReference) comment(typ reflect.Type, field string) string {
	if _, ok := r.comments[typ]; !ok {
		r.comments[typ] = r.read(typ)
	}
	return r.comments[typ][field]
}

func (r *jsonReference) read(typ reflect.Type) map[string]string {
	out := make(map[string]string)
	pkg, ok := strings.CutPrefix(typ.PkgPath(), modulePath+"/")
	switch {
	case typ.PkgPath() == "main":
		pkg = "cmd/nodeseal"
	case strings.HasSuffix(typ.PkgPath(), "/cmd/nodeseal"):
		pkg = "cmd/nodeseal"
	case !ok:
		return out
	}
	parsed, err := parseDir(filepath.Join("..", "..", filepath.FromSlash(pkg)))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != typ.Name() {
				return true
			}
			if body, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range body.Fields.List {
					for _, name := range f.Names {
						out[name.Name] = plain(f)
					}
				}
			}
			return false
		})
	}
	return out
}

// plain is a field's comment in one line.
func plain(f *ast.Field) string {
	text := f.Doc.Text()
	if text == "" {
		text = f.Comment.Text()
	}
	return strings.Join(strings.Fields(text), " ")
}

func parseDir(dir string) ([]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, "_test.go") })
	if len(paths) == 0 {
		return nil, fmt.Errorf("sources in %s: %w", dir, fs.ErrNotExist)
	}
	var out []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("sources: %w", err)
		}
		out = append(out, file)
	}
	return out, nil
}
