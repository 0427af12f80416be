// Package neighbours reads the files in which Hauler and Zarf name images: Hauler's manifests
// (content.hauler.cattle.io, kind Images) and Zarf's packages (ZarfPackageConfig, ZarfInitConfig).
//
// In both a name without a registry means Docker Hub. Both take the images of charts only if they are named as
// images, too (Hauler also with add-images), so charts are not looked into.
package neighbours
