package samplerelease

import (
	"archive/tar"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// baseLayer is below almost every image: a file system as a distribution has
// it, without an entry for its root.
func baseLayer() tree {
	var t tree
	for _, dir := range []string{"dev", "etc", "etc/ssl", "etc/ssl/certs", "home", "proc", "run", "srv", "sys", "usr", "usr/bin",
		"usr/lib", "usr/lib/locale", "usr/sbin", "usr/share", "usr/share/doc", "var", "var/cache", "var/lib", "var/log"} {
		t.dir(dir, 0o755)
	}
	t.dir("root", 0o550)
	t.dir("tmp", 0o1777)
	t.dir("var/tmp", 0o1777)
	for _, dir := range []string{"bin", "sbin", "lib"} {
		t.symlink(dir, "usr/"+dir)
	}
	t.symlink("var/run", "/run") // absolute: it must not lead out of the image
	t.file("etc/passwd", 0o644, lines("root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/:/sbin/nologin"))
	t.file("etc/group", 0o644, lines("root:x:0:", "nobody:x:65534:"))
	t.file("etc/shadow", 0, lines("root:*:19000:0:99999:7:::"))
	t.file("etc/os-release", 0o644, lines(`NAME="Made-up Linux"`, "ID=madeup", "VERSION_ID="+Version))
	t.symlink("etc/ssl/cert.pem", "certs/bundle.crt")
	t.file("etc/ssl/certs/bundle.crt", 0o444, bytesOf("certificates", 200_000))
	for i := range 40 {
		name := fmt.Sprintf("usr/lib/libmadeup-%02d.so", i)
		t.file(name, 0o755, bytesOf(name, 20_000+i*1_000))
	}
	t.file("usr/lib/locale/locale-archive", 0o644, bytesOf("locale", 1_000_000))
	t.file("usr/share/doc/README", 0o644, bytesOf("readme", 4_000))
	t.file("var/log/empty.log", 0o600, nil)
	return t
}

// toolsLayer lies on the base layer in some images, on other layers in others:
// one diff ID under several parents.
func toolsLayer() tree {
	var t tree
	t.dir("usr/bin", 0o755)
	for _, name := range []string{"oc", "jq", "curl", "ip", "tar"} {
		t.file("usr/bin/"+name, 0o755, bytesOf("tool "+name, 250_000))
	}
	t.symlink("usr/bin/kubectl", "oc")
	return t
}

// programLayer is an image's own: a program, its settings and its documents.
func programLayer(name string, size int) tree {
	var t tree
	t.dir("usr/bin", 0o755)
	t.file("usr/bin/"+name, 0o755, bytesOf("program "+name, size))
	t.dir("etc/"+name, 0o750)
	t.file("etc/"+name+"/config.yaml", 0o640, lines("kind: Config", "name: "+name))
	t.dir("usr/share/doc/"+name, 0o755)
	t.file("usr/share/doc/"+name+"/README.md", 0o644, bytesOf("documents of "+name, 3_000))
	return t
}

// removalLayer removes and hides what the base layer has: a file, a symbolic
// link, a directory with its files, the content of a directory, and a file that
// becomes a directory.
func removalLayer() tree {
	var t tree
	t.whiteout("usr/lib", "libmadeup-00.so")
	t.whiteout("var", "run")
	t.whiteout("usr/share", "doc")
	t.dir("etc/ssl/certs", 0o755)
	t.opaque("etc/ssl/certs")
	t.file("etc/ssl/certs/only.crt", 0o444, bytesOf("only", 1_000))
	t.dir("usr/lib/libmadeup-01.so", 0o755)
	t.file("usr/lib/libmadeup-01.so/now-a-directory", 0o644, nil)
	return t
}

// linkLayer has hard links, also to an empty and to a set-uid file, and modes
// beyond the permissions.
func linkLayer() tree {
	var t tree
	t.file("usr/bin/multicall", 0o755, bytesOf("multicall", 300_000))
	for _, name := range []string{"ls", "cat", "cp"} {
		t.hardlink("usr/bin/"+name, "usr/bin/multicall")
	}
	t.file("usr/bin/su", 0o4755, bytesOf("su", 30_000))
	t.hardlink("usr/sbin/su", "usr/bin/su")
	t.file("usr/bin/wall", 0o2755, bytesOf("wall", 10_000))
	t.file("var/lib/empty", 0o644, nil)
	t.hardlink("var/lib/empty-too", "var/lib/empty")
	t.dir("var/cache/shared", 0o3775)
	t.symlink("var/lib/dangling", "../nowhere/at all")
	t.symlink("var/alias", "/var/lib")
	t.file("var/alias/through-a-link", 0o644, lines("in var/lib"))
	t.add(tar.Header{Typeflag: tar.TypeFifo, Name: "run/pipe", Mode: 0o620}, nil)
	return t
}

// xattrLayer has a program with a file capability and files with attributes of
// users, one of them binary.
func xattrLayer() tree {
	// struct vfs_cap_data, revision 2: cap_net_bind_service and cap_net_raw,
	// permitted and effective.
	capability := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	capability = binary.LittleEndian.AppendUint32(capability, 1<<10|1<<13)
	capability = append(capability, make([]byte, 12)...)
	var t tree
	t.xattrs("usr/bin/ping", 0o755, bytesOf("ping", 60_000), map[string]string{"security.capability": string(capability)})
	t.xattrs("etc/labelled", 0o644, lines("labelled"), map[string]string{
		"user.comment": "a comment with ümlauts",
		"user.binary":  "\x01\x00\xff\n=",
	})
	return t
}

// nameLayer has names that do not fit into a tar header of 1988, and a time
// with a fraction.
func nameLayer() tree {
	deep := "usr/share" + strings.Repeat("/a-directory-with-a-long-name", 12)
	var t tree
	t.dir("usr/share/dokumente", 0o755)
	for _, name := range []string{"größe", "文件", "файл", "emoji-🔒", "space and\ttab", "back\\slash", "-dash", "*", "a:b,c=d"} {
		t.file("usr/share/dokumente/"+name, 0o644, lines(name))
	}
	t.file("usr/share/"+strings.Repeat("n", 255), 0o644, lines("a name of 255 bytes"))
	t.dir(deep, 0o755)
	t.file(deep+"/file", 0o644, lines("deep"))
	t.symlink("usr/share/deep", "/"+deep+"/file")
	t.hardlink("usr/share/deep-too", deep+"/file")
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "usr/share/fraction", Mode: 0o644,
		ModTime: time.Unix(epoch, 123_456_789), Format: tar.FormatPAX}, nil)
	return t
}

// ownerLayer has files of users other than root, and device nodes.
func ownerLayer() tree {
	var t tree
	t.owned("var/lib/of-nobody", 65534, 65534, lines("nobody's"))
	t.owned("var/lib/of-1001", 1001, 0, lines("as OpenShift's images have it"))
	t.add(tar.Header{Typeflag: tar.TypeDir, Name: "home/user/", Mode: 0o700, Uid: 1000, Gid: 1000}, nil)
	t.owned("home/user/.profile", 1000, 1000, lines("umask 027"))
	t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "home/user/link", Linkname: ".profile", Mode: 0o777, Uid: 1000, Gid: 1000}, nil)
	t.device("dev/null", tar.TypeChar, 1, 3)
	t.device("dev/loop-control", tar.TypeChar, 10, 237)
	t.device("dev/loop0", tar.TypeBlock, 7, 0)
	return t
}

// rootLayer begins an image of its own, with an entry for the root.
func rootLayer(arch string) tree {
	var t tree
	t.dir(".", 0o755)
	t.dir("./etc", 0o755)
	t.file("./etc/architecture", 0o644, lines(arch))
	t.dir("./usr", 0o755)
	t.dir("./usr/bin", 0o755)
	t.file("./usr/bin/tool", 0o755, bytesOf("tool for "+arch, 400_000))
	return t
}

// writerLayer is the program and the files of WriterDir.
func writerLayer(program []byte) tree {
	dir := strings.TrimPrefix(WriterDir, "/")
	var t tree
	t.dir(dir, 0o755)
	for _, name := range []string{Overwrite, Rename, Remove} {
		t.file(dir+"/"+name, 0o644, lines("as the image has it"))
	}
	t.dir(dir+"/"+Chmod, 0o755)
	t.file(dir+"/"+Chmod+"/file", 0o600, lines("as the image has it"))
	t.file("usr/bin/"+WriterImage, 0o755, program)
	return t
}
