package visible

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"quay.io/a@sha256:00":        "quay.io/a@sha256:00",
		"Grüße, 世界":                  "Grüße, 世界",
		"a\x1b[2Jb":                  `a\x1b[2Jb`,
		"bell\a":                     `bell\a`,
		"x\nOK: 999 images":          `x\nOK: 999 images`,
		"x\r\n":                      `x\r\n`,
		"tab\tstop":                  "tab stop",
		"evil\u202egnp.exe":          `evil\u202egnp.exe`,
		"zero\u200bwidth":            `zero\u200bwidth`,
		"not\xffutf8":                `not\xffutf8`,
		"line\u2028separator":        `line\u2028separator`,
		"C1\u009b31m":                `C1\u009b31m`,
		"replacement \ufffd is text": "replacement \ufffd is text",
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	got := Lines("first\nOK: 999 images\n  -> rm -rf /\n\x1b[1A\n")
	want := "first\n  | OK: 999 images\n  | -> rm -rf /\n  | " + `\x1b[1A`
	if got != want {
		t.Errorf("Lines = %q, want %q", got, want)
	}
}

func TestSprintf(t *testing.T) {
	t.Parallel()
	got := Sprintf("%-4s|%d|%v|%q\n%s", "a\n", 7, errors.New("b\x1b\nc"), "c\x1b", []string{"d\a"})
	want := `a\n  |7|b\x1b` + "\n  | c" + `|"c\x1b"` + "\n" + `[d\a]`
	if got != want {
		t.Errorf("Sprintf = %q, want %q", got, want)
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	in := "a\tb\nc\x1b[m\u202e\n"
	n, err := NewWriter(&out).Write([]byte(in))
	if n != len(in) || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if want := "a\tb\nc" + `\x1b[m\u202e` + "\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "plain", "two words", "$(id)", "it's", "`id`", "a;b", "~", "#", "new\nline", "-p", "*", `\`} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+ShellWord(in)).Output()
		if err != nil || string(out) != in {
			t.Errorf("sh makes %q of %s, want %q (%v)", out, ShellWord(in), in, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[2J\u202e\n")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q shows %q", s, r)
			}
		}
		if !utf8.ValidString(got) || strings.ContainsRune(got, '\n') {
			t.Fatalf("%q becomes %q", s, got)
		}
	})
}
