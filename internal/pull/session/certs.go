package session

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/image/v5/pkg/tlsclientconfig"
)

// tlsConfig returns the TLS settings for a registry host, with the authorities
// and client certificates of its folder (containers-certs.d(5)).
func (o Options) tlsConfig(host string, insecure bool) (*tls.Config, error) {
	tc := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: insecure, //nolint:gosec // only where the administrator said so
	}
	dir := o.certFolder(host)
	if dir == "" {
		return tc, nil
	}
	if err := tlsclientconfig.SetupCertificates(dir, tc); err != nil {
		return nil, fmt.Errorf("certificates for %s in %s: %w", host, dir, err)
	}
	return tc, nil
}

// certFolder returns the first folder with certificates for host, or "".
func (o Options) certFolder(host string) string {
	if o.CertDir != "" {
		if own := filepath.Join(o.CertDir, host); isDir(own) {
			return own
		}
		return o.CertDir
	}
	var bases []string
	if config, err := os.UserConfigDir(); err == nil && os.Getuid() != 0 {
		bases = append(bases, filepath.Join(config, "containers/certs.d"))
	}
	for _, base := range append(bases, "/etc/containers/certs.d", "/etc/docker/certs.d") {
		if dir := filepath.Join(base, host); isDir(dir) {
			return dir
		}
	}
	return ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
