package release

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// writeBill writes the software bill of materials of a binary, as CycloneDX 1.6 in JSON:
// the modules that Go's linker recorded in it, with the version of Go's own library. It
// returns the name of the file.
func (o Options) writeBill(b binary) (string, error) {
	name := b.name + ".cdx.json"
	path := filepath.Join(o.Out, b.name)
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("bill of materials of %s: %w", b.name, err)
	}
	sum, err := fileSum(path)
	if err != nil {
		return "", fmt.Errorf("bill of materials of %s: %w", b.name, err)
	}
	var text bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&text, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(o.bill(b, info, sum), cyclonedx.SpecVersion1_6); err != nil {
		return "", fmt.Errorf("bill of materials of %s: %w", b.name, err)
	}
	return name, o.writeFile(name, text.Bytes())
}

// bill describes a binary whose SHA-256 is sum, in hexadecimal digits.
func (o Options) bill(b binary, info *debug.BuildInfo, sum string) *cyclonedx.BOM {
	program := cyclonedx.Component{
		BOMRef: info.Main.Path, Type: cyclonedx.ComponentTypeApplication, Name: "nodeseal", Version: o.Version,
		PackageURL: packageURL(info.Main.Path, o.Version),
		Hashes:     &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}},
		Licenses:   &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		Properties: &[]cyclonedx.Property{{Name: "nodeseal:file", Value: b.name}},
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	components := []cyclonedx.Component{{
		BOMRef: "std", Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: goVersion, PackageURL: packageURL("std", goVersion),
	}}
	needs := []string{"std"}
	for _, module := range info.Deps {
		used := module
		if module.Replace != nil {
			used = module.Replace
		}
		components = append(components, cyclonedx.Component{
			BOMRef: used.Path, Type: cyclonedx.ComponentTypeLibrary, Name: used.Path, Version: used.Version,
			PackageURL: packageURL(used.Path, used.Version),
			// What go.sum has of it.
			Properties: &[]cyclonedx.Property{{Name: "go:sum", Value: used.Sum}},
		})
		needs = append(needs, used.Path)
	}
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = serial(sum)
	bom.Metadata = &cyclonedx.Metadata{Timestamp: o.Time.UTC().Format(time.RFC3339), Component: &program}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: program.BOMRef, Dependencies: &needs}}
	return bom
}

// packageURL names a Go module as the package-url specification does.
func packageURL(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// serial is a UUID that follows from a digest in hexadecimal digits, as version 8 of
// RFC 9562 lets one be made: what is built twice has one bill.
func serial(sum string) string {
	raw, err := hex.DecodeString(sum[:32])
	if err != nil {
		return ""
	}
	raw[6] = raw[6]&0x0f | 0x80
	raw[8] = raw[8]&0x3f | 0x80
	text := hex.EncodeToString(raw)
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}

// fileSum returns the SHA-256 of a file, in hexadecimal digits.
func fileSum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// writeFile writes a file of the release.
func (o Options) writeFile(name string, data []byte) error {
	if err := atomicfile.WriteBytes(filepath.Join(o.Out, name), 0o644, data); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}
