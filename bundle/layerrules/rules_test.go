package layerrules

import (
	"archive/tar"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func file(name string) Member  { return Member{Name: name, Type: tar.TypeReg, Size: 1} }
func empty(name string) Member { return Member{Name: name, Type: tar.TypeReg} }
func dir(name string) Member   { return Member{Name: name, Type: tar.TypeDir} }
func link(name, to string) Member {
	return Member{Name: name, Linkname: to, Type: tar.TypeLink}
}

func symlink(name, to string) Member {
	return Member{Name: name, Linkname: to, Type: tar.TypeSymlink}
}

func (m Member) with(name, value string) Member {
	m.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return m
}

func check(members ...Member) (*Checker, error) {
	c := new(Checker)
	for _, m := range members {
		if _, err := c.Add(m); err != nil {
			return c, err
		}
	}
	return c, c.End()
}

// The package corpus holds the same rules to the kernel and to the library.
func TestRules(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 255)
	for name, c := range map[string]struct {
		layer []Member
		want  error
	}{
		"nothing":                {nil, nil},
		"usual":                  {[]Member{dir("a/"), file("a/b"), link("c", "a/b"), symlink("d", "/a"), file("d/e")}, nil},
		"parents implied":        {[]Member{file("a/b/c"), link("l", "/a/b/c")}, nil},
		"replaced":               {[]Member{file("a"), dir("/a"), file("a/b")}, nil},
		"directory replaced":     {[]Member{dir("a"), file("/a")}, nil},
		"listed, then gone":      {[]Member{dir("a"), dir("a/b"), file("/a")}, unix.ENOTDIR},
		"twice":                  {[]Member{file("a"), file("./a")}, ErrTwice},
		"up":                     {[]Member{file("../a")}, ErrLeadsOut},
		"link later":             {[]Member{link("a", "b"), file("b")}, unix.ENOENT},
		"link itself":            {[]Member{file("/a"), link("a", "a")}, unix.ENOENT},
		"link to a directory":    {[]Member{dir("d"), link("a", "d")}, ErrType},
		"link to a link":         {[]Member{symlink("s", "x"), link("a", "s"), link("b", "a")}, nil},
		"loop":                   {[]Member{symlink("l", "l"), file("l/a")}, unix.ELOOP},
		"through a file":         {[]Member{file("f"), file("f/a")}, unix.ENOTDIR},
		"through nothing":        {[]Member{symlink("l", "x"), file("l/a")}, unix.EEXIST},
		"dots of a link":         {[]Member{symlink("out", "../../etc"), dir("etc"), file("out/a"), link("b", "etc/a")}, nil},
		"name of 256 bytes":      {[]Member{file(long + "n")}, unix.ENAMETOOLONG},
		"name of 255 bytes":      {[]Member{file(long)}, nil},
		"path of 4096 bytes":     {[]Member{file(strings.Repeat("d/", 2048) + "f")}, unix.ENAMETOOLONG},
		"link of 4096 bytes":     {[]Member{symlink("l", strings.Repeat("d/", 2048))}, unix.ENAMETOOLONG},
		"link to nothing":        {[]Member{symlink("l", "")}, unix.ENOENT},
		"contiguous file":        {[]Member{{Name: "c", Type: tar.TypeCont}}, ErrType},
		"root is a file":         {[]Member{symlink("/", "x")}, ErrType},
		"dot is anything":        {[]Member{symlink(".", "x")}, nil},
		"whiteout":               {[]Member{empty("d/.wh.a"), empty("d/.wh..wh..opq")}, nil},
		"whiteout of its own":    {[]Member{file("a"), empty(".wh.a")}, ErrWhiteout},
		"whiteout of nothing":    {[]Member{empty(".wh.")}, ErrWhiteout},
		"whiteout below one":     {[]Member{empty(".wh.a"), empty("a/.wh.b")}, nil},
		"user attribute":         {[]Member{file("a").with("user.x", "")}, nil},
		"of a link":              {[]Member{symlink("a", "b").with("user.x", "")}, ErrXattr},
		"no such namespace":      {[]Member{file("a").with("com.apple.provenance", "x")}, nil},
		"attribute of 65536":     {[]Member{file("a").with("user.x", strings.Repeat("x", 1<<16))}, ErrXattr},
		"label":                  {[]Member{symlink("a", "b").with("security.selinux", "l")}, nil},
		"broken capability":      {[]Member{file("a").with("security.capability", "x")}, ErrXattr},
		"attribute without name": {[]Member{file("a").with("user.", "x")}, ErrXattr},
		"attributes of a link, the same": {append([]Member{file("a").with("user.x", strings.Repeat("x", 60000))},
			link("b", "a").with("user.x", "y"), link("c", "a").with("user.x", "z")), nil},
		"attributes of links, others": {append([]Member{file("a").with("user.x", strings.Repeat("x", 65535))},
			link("b", "a").with("user.y", strings.Repeat("x", 65535)), link("c", "a").with("user.z", strings.Repeat("x", 65535)),
			link("d", "a").with("user.v", strings.Repeat("x", 65535))), ErrXattr},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := check(c.layer...)
			var named *Error
			if !errors.Is(err, c.want) || err != nil && !errors.As(err, &named) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	sparse := file("s")
	sparse.PAXRecords = map[string]string{"GNU.sparse.major": "1"}
	for name, c := range map[string]struct {
		layer []Member
		kept  bool
	}{
		"usual":                     {[]Member{file("a"), empty(".wh.b"), link("c", "a"), dir("d"), dir("/d")}, true},
		"replaced":                  {[]Member{file("a"), file("/a")}, false},
		"replaced by a link":        {[]Member{file("a"), file("b"), link("/a", "b")}, false},
		"an empty file is replaced": {[]Member{empty("a"), file("/a")}, true},
		"sparse":                    {[]Member{sparse}, false},
		"whiteout with data":        {[]Member{file(".wh..wh.orph")}, false},
	} {
		c2, err := check(c.layer...)
		kept, why := c2.Kept()
		if err != nil || kept != c.kept || kept != (why == "") {
			t.Errorf("%s: %v, %q, %v", name, kept, why, err)
		}
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	c := new(Checker)
	target := strings.Repeat("t", 4000)
	var err error
	for i := 0; err == nil && i < 20_000; i++ {
		_, err = c.Add(symlink(fmt.Sprint(i), target))
	}
	if !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	// A name implies thousands of directories, of which the layer says nothing.
	c, err = new(Checker), nil
	deep := strings.Repeat("d/", 2000)
	for i := 0; err == nil && i < 1200; i++ {
		_, err = c.Add(file(fmt.Sprint(i) + "/" + deep + "f"))
	}
	if !errors.Is(err, ErrTooMany) || len(c.kinds) > MaxMembers+2 {
		t.Errorf("%d files: %v", len(c.kinds), err)
	}
	c = &Checker{tree: tree{all: MaxMembers}}
	_, err = c.Add(file("a"))
	if want := fmt.Sprintf("at least %d files and directories, at most %d are allowed", MaxMembers+1, MaxMembers); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// BenchmarkMembers measures time and memory for each member.
func BenchmarkMembers(b *testing.B) {
	b.ReportAllocs()
	c := new(Checker)
	for i := 0; b.Loop(); i++ {
		if i%1_000_000 == 0 {
			c = new(Checker)
		}
		if _, err := c.Add(file(fmt.Sprint("usr/share/doc/", i/20, "/", i))); err != nil {
			b.Fatal(err)
		}
	}
}

// As many owners as a store records, and one more.
func TestOwners(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]func(i int) Member{
		"users":  func(i int) Member { return Member{UID: i} },
		"groups": func(i int) Member { return Member{GID: i} },
	} {
		var c Checker
		for i := range MaxOwners + 1 {
			m := member(i)
			m.Name, m.Type = fmt.Sprint(i), tar.TypeReg
			_, err := c.Add(m)
			if want := i == MaxOwners; errors.Is(err, ErrOwners) != want {
				t.Fatalf("%s: member %d: %v", name, i, err)
			}
		}
	}
}
