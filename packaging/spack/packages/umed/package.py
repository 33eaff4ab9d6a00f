# Spack recipe, built from this source tree:
#
#   spack repo add packaging/spack
#   spack dev-build umed@0.1.0             # or: spack develop --path . umed@0.1.0, in an environment
from spack.package import *


class Umed(CMakePackage):
    """Protects medical image segmentation datasets against unauthorised training, and measures how well that works (UMed,
    IJCAI 2024). One MPI program for sweeps on clusters and for single machines."""

    homepage = "https://arxiv.org/abs/2403.14250"

    license("Apache-2.0")

    version("0.1.0")

    variant("mpi", default=True, description="Several ranks; without it a program for login nodes and single machines")

    depends_on("c", type="build")
    depends_on("cmake@3.22:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi", when="+mpi")
    depends_on("hdf5@1.10:")
    depends_on("libconfig")
    depends_on("libpng")
    depends_on("libjpeg-turbo")
    depends_on("libzip")
    depends_on("libdeflate")
    depends_on("zlib")
    depends_on("openssl@3:")
    depends_on("cmocka", type="test")
    depends_on("openblas threads=none", type="test")

    # A parallel HDF5 brings an MPI of its own into the program; its serial functions work, but there must be only one MPI.
    conflicts("^hdf5+mpi", when="~mpi")

    def cmake_args(self):
        return [
            self.define_from_variant("UMED_MPI", "mpi"),
            self.define("UMED_TESTS", self.run_tests),
            self.define("UMED_WERROR", False),
        ]

    def setup_run_environment(self, env):
        env.set("UMED_JOBS", join_path(self.prefix.share, "umed", "jobs", "slurm"))

    @run_after("install")
    @on_package_attributes(run_tests=True)
    def check_install(self):
        Executable(join_path(self.prefix.bin, "umed"))("info")
